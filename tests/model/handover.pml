/* The hand-over of docs/handover.md: who owns a container, whatever fails, and when.
 *
 * Host A has the container and tries up to TRIES times to move it to host B. Every agent is a set of
 * steps that happen at once: a durable write, a message, a change of what runs. Between any two of
 * them an agent may crash, its host may go down, the link may be cut, the operator may cancel, and
 * a write may fail; at most FAULTS times in all. Agents and link come back.
 *
 * BROKEN=n plants one mistake; tests/model/check.py shows that each is found.
 */
#ifndef BROKEN
#define BROKEN 0
#endif
#ifndef TRIES
#define TRIES 2
#endif
#ifndef FAULTS
#define FAULTS 3
#endif

mtype:message = { OFFER, ACCEPTED, ROUND, LAST, RESTORED, COMMIT, COMMITTED, ABORT, FORGET, FORGOTTEN }
mtype:entry = { NONE, PREPARING, COMMITTING, LEAVING, PREPARED, DECIDED, ARRIVED }
mtype:copy = { ABSENT, RUNS, FROZEN, PARTLY, BUILT, DETACHED, DEAD }
mtype:step = { DOWN, IDLE, CONNECT, OFFERED, ROUNDS, FREEZE, CAPTURE, HOLD, AWAIT, ASK, ASKED, RESOLVE, LEAVE,
               KILL, TELL, TOLD, ERASE, ROLL_BACK, ROLLED_BACK, SESSION, FILL, BUILD, DETACH, DECIDE,
               TAKE_BACK, RUN, ARRIVE, REPORT, REPORTED, CONFIRM, REMOVE, REMOVED }

/* What survives the end of an agent. Journals have one entry for each attempt. */
mtype:entry journal_a[TRIES] = NONE
mtype:entry journal_b[TRIES] = NONE
mtype:copy copy_a = RUNS
mtype:copy copy_b = ABSENT
byte owner_b              /* the attempt that copy_b is of: its incarnation */
bool held                 /* copy_a stays frozen without its agent */
bool slow                 /* copy_a is throttled, so that the rounds converge */
bool served_b             /* it has run at B */
bool booted_b             /* B went down since its journal was written */

/* What does not. */
mtype:step at_a = IDLE
mtype:step at_b = IDLE
byte try_a                /* the attempt that A is at */
byte try_b                /* the attempt that B has a session of */
bool link = true
bool connected[TRIES]
chan to_a[TRIES] = [2] of { mtype:message }
chan to_b[TRIES] = [2] of { mtype:message }

byte tries
byte faults = FAULTS      /* that may still happen */

#define running_a (copy_a == RUNS)
#define running_b (copy_b == RUNS)

/* Never two, and nothing is lost that a client may have seen acknowledged. */
inline goes_on_at_a() {
  copy_a = RUNS; held = false; slow = false
  assert(!running_b && !served_b)
}
inline begins_at_b() {
  assert(copy_b == DETACHED)  /* complete */
  copy_b = RUNS; served_b = true
  assert(!running_a)
}

#define serves_b (at_b != DOWN)
#define has_session(t) (at_b != DOWN && at_b != IDLE && try_b == t)
#define reachable (link && serves_b)

/* A message that cannot be sent is lost, and the connection with it. */
inline send(queue, t, what) {
  if
  :: connected[t] && len(queue) < 2 -> queue!what
  :: else -> connected[t] = false
  fi
}
#define lost(queue, t) (!connected[t] && len(queue) == 0)

/* What B answers to a query; nothing yet is "pending". */
#define known(t) (journal_b[t] != NONE || has_session(t))
#if BROKEN == 3  /* an outcome that is not decided is taken for none */
#define given_back(t) (journal_b[t] != ARRIVED)
#else
#define given_back(t) (!known(t))
#endif
#if BROKEN == 4  /* the source is told before the destination knows that it has run */
#define taken(t) (journal_b[t] == ARRIVED || journal_b[t] == DECIDED)
#else
#define taken(t) (journal_b[t] == ARRIVED)
#endif

#define in_doubt(t) (journal_a[t] == COMMITTING || journal_a[t] == LEAVING)
#if TRIES == 2
#define other_in_doubt(t) in_doubt(1 - t)
#else
#define other_in_doubt(t) false
#endif

/* One entry of A's journal after the start of its agent. */
inline recover_a(t) {
  if
  :: journal_a[t] == PREPARING ->
#if BROKEN != 6  /* an older entry thaws a container that is in doubt */
     if
     :: other_in_doubt(t) -> skip
     :: else ->
#endif
        if
        :: copy_a == FROZEN -> goes_on_at_a()
        :: else -> slow = false
        fi
#if BROKEN != 6
     fi
#endif
     ; journal_a[t] = NONE
  :: journal_a[t] == LEAVING -> copy_a = ABSENT; try_a = t; at_a = TELL
  :: journal_a[t] == COMMITTING -> try_a = t; at_a = RESOLVE
  :: else
  fi
}

#define waits_a (at_a == OFFERED || at_a == AWAIT)

active proctype Source() {
  do
  :: atomic { at_a == DOWN ->
       at_a = IDLE
       recover_a(0)
#if TRIES == 2
       recover_a(1)
#endif
     }
  :: atomic { at_a == IDLE && journal_a[0] == PREPARING -> journal_a[0] = NONE }  /* in the background */
  :: atomic { at_a == IDLE && journal_a[TRIES - 1] == PREPARING -> journal_a[TRIES - 1] = NONE }
  :: atomic { at_a == IDLE && tries < TRIES && running_a ->
       try_a = tries; tries++; journal_a[try_a] = PREPARING; at_a = CONNECT }
  :: atomic { at_a == CONNECT ->
       if
       :: reachable -> connected[try_a] = true; to_b[try_a]!OFFER; at_a = OFFERED
       :: else -> at_a = ROLL_BACK
       fi }
  :: atomic { at_a == OFFERED && to_a[try_a]?[ACCEPTED] -> to_a[try_a]?ACCEPTED; at_a = ROUNDS }
  /* Rounds of memory, while it runs; one of them is as good as many, and as none. */
  :: atomic { at_a == ROUNDS ->
       if
       :: send(to_b[try_a], try_a, ROUND); slow = true
       :: skip
       fi
       at_a = FREEZE }
  :: atomic { waits_a && lost(to_a[try_a], try_a) -> at_a = ROLL_BACK }
  :: atomic { at_a == FREEZE -> slow = false; copy_a = FROZEN; at_a = CAPTURE }
  :: atomic { at_a == CAPTURE -> send(to_b[try_a], try_a, LAST); at_a = HOLD }
  :: atomic { at_a == HOLD -> held = true; journal_a[try_a] = COMMITTING; at_a = AWAIT }
  :: atomic { at_a == AWAIT && to_a[try_a]?[RESTORED] -> to_a[try_a]?RESTORED; at_a = ASK }
  :: atomic { faults > 0 && (at_a == OFFERED || at_a == FREEZE || at_a == CAPTURE || at_a == AWAIT || at_a == ASK) ->
       faults--; at_a = ROLL_BACK }
  :: atomic { at_a == ASK -> send(to_b[try_a], try_a, COMMIT); at_a = ASKED }
  :: atomic { at_a == ASKED && to_a[try_a]?[COMMITTED] -> to_a[try_a]?COMMITTED; at_a = LEAVE }
#if BROKEN == 1  /* no answer is taken for a refusal */
  :: atomic { at_a == ASKED && lost(to_a[try_a], try_a) -> at_a = ROLL_BACK }
#else
  :: atomic { at_a == ASKED && lost(to_a[try_a], try_a) -> at_a = RESOLVE }
#endif
  :: atomic { at_a == RESOLVE && reachable && given_back(try_a) -> at_a = ROLL_BACK }
  :: atomic { at_a == RESOLVE && reachable && taken(try_a) -> at_a = LEAVE }
  :: atomic { at_a == LEAVE ->
       if
       :: journal_a[try_a] = LEAVING
       :: faults > 0 -> faults--
       fi
       at_a = KILL }
  :: atomic { at_a == KILL -> copy_a = ABSENT; held = false; at_a = TELL }
  :: atomic { at_a == TELL && connected[try_a] -> send(to_b[try_a], try_a, FORGET); at_a = TOLD }
  :: atomic { at_a == TELL && !connected[try_a] && reachable ->
       if
       :: journal_b[try_a] == ARRIVED -> journal_b[try_a] = NONE
       :: else
       fi
       at_a = ERASE }
#if BROKEN == 5  /* the source does not wait for the confirmation */
  :: atomic { at_a == TOLD -> at_a = ERASE }
#else
  :: atomic { at_a == TOLD && to_a[try_a]?[FORGOTTEN] -> to_a[try_a]?FORGOTTEN; at_a = ERASE }
  :: atomic { at_a == TOLD && lost(to_a[try_a], try_a) -> at_a = TELL }
#endif
  :: atomic { at_a == ERASE -> journal_a[try_a] = NONE; connected[try_a] = false; at_a = IDLE }
  :: atomic { at_a == ROLL_BACK ->
       send(to_b[try_a], try_a, ABORT)
       if
       :: copy_a == FROZEN -> goes_on_at_a()
#if BROKEN == 8  /* a failure in the rounds leaves it throttled */
       :: else
#else
       :: else -> slow = false
#endif
       fi
       at_a = ROLLED_BACK }
  :: atomic { at_a == ROLLED_BACK ->
       connected[try_a] = false
       if
       :: journal_a[try_a] = NONE
       :: faults > 0 && journal_a[try_a] == PREPARING -> faults--
       fi
       at_a = IDLE }
  od
}

/* One entry of B's journal after the start of its agent. */
inline recover_b(t) {
  if
  :: journal_b[t] == PREPARED || (journal_b[t] == DECIDED && booted_b) ->
     if
     :: owner_b == t -> copy_b = ABSENT
     :: else
     fi
     journal_b[t] = NONE
  :: journal_b[t] == DECIDED && !booted_b ->
     if
     :: owner_b == t && copy_b == DETACHED -> begins_at_b()
     :: else
     fi
     journal_b[t] = ARRIVED
  :: else
  fi
}

/* An offer of an attempt that A has given up long ago may be read late, when the name is taken.
   Anything else belongs to a session that is over. */
inline take_up(t) {
  if
  :: to_b[t]?[OFFER] ->
     to_b[t]?OFFER; try_b = t; journal_b[t] = PREPARED
     if
     :: copy_b == ABSENT -> copy_b = DEAD; owner_b = t; at_b = SESSION; send(to_a[t], t, ACCEPTED)
     :: else -> at_b = REMOVED
     fi
  :: else -> to_b[t]?_
  fi
}

active proctype Destination() {
  do
  :: atomic { at_b == DOWN ->
       recover_b(0)
#if TRIES == 2
       recover_b(1)
#endif
       booted_b = false; at_b = IDLE }
  :: atomic { at_b == IDLE && len(to_b[0]) > 0 -> take_up(0) }
#if TRIES == 2
  :: atomic { at_b == IDLE && len(to_b[1]) > 0 -> take_up(1) }
#endif
  :: atomic { at_b == SESSION && to_b[try_b]?[ROUND] -> to_b[try_b]?ROUND; at_b = FILL }
  :: atomic { at_b == FILL -> copy_b = PARTLY; at_b = SESSION }
  :: atomic { at_b == SESSION && to_b[try_b]?[LAST] -> to_b[try_b]?LAST; at_b = BUILD }
  :: atomic { at_b == SESSION && to_b[try_b]?[COMMIT] -> to_b[try_b]?COMMIT; at_b = DETACH }
  :: atomic { at_b == SESSION && to_b[try_b]?[ABORT] -> to_b[try_b]?ABORT; at_b = REMOVE }
  :: atomic { at_b == SESSION && lost(to_b[try_b], try_b) -> at_b = REMOVE }
  :: atomic { at_b == BUILD -> copy_b = BUILT; send(to_a[try_b], try_b, RESTORED); at_b = SESSION }
  :: atomic { at_b == DETACH -> copy_b = DETACHED; at_b = DECIDE }
#if BROKEN == 2  /* it runs before the journal says so */
  :: atomic { at_b == DECIDE -> begins_at_b(); at_b = RUN }
  :: atomic { at_b == RUN -> journal_b[try_b] = DECIDED; at_b = ARRIVE }
#else
  :: atomic { at_b == DECIDE ->
       if
       :: journal_b[try_b] = DECIDED; at_b = RUN
       :: faults > 0 -> faults--; at_b = REMOVE
       :: faults > 0 -> faults--; journal_b[try_b] = DECIDED; at_b = TAKE_BACK
       fi }
  :: atomic { at_b == TAKE_BACK -> journal_b[try_b] = PREPARED; at_b = REMOVE }
  :: atomic { at_b == RUN -> begins_at_b(); at_b = ARRIVE }
#endif
  :: atomic { at_b == ARRIVE -> journal_b[try_b] = ARRIVED; at_b = REPORT }
  :: atomic { at_b == REPORT -> send(to_a[try_b], try_b, COMMITTED); at_b = REPORTED }
  :: atomic { at_b == REPORTED && to_b[try_b]?[FORGET] -> to_b[try_b]?FORGET; at_b = CONFIRM }
  :: atomic { at_b == REPORTED && lost(to_b[try_b], try_b) -> at_b = IDLE }
  :: atomic { at_b == CONFIRM ->
       journal_b[try_b] = NONE; send(to_a[try_b], try_b, FORGOTTEN); at_b = IDLE }
#if BROKEN == 7  /* what the rounds built stays when the source gives up */
  :: atomic { at_b == REMOVE -> copy_b = (copy_b == PARTLY -> DEAD : ABSENT); at_b = REMOVED }
#else
  :: atomic { at_b == REMOVE -> copy_b = ABSENT; at_b = REMOVED }
#endif
  :: atomic { at_b == REMOVED -> journal_b[try_b] = NONE; connected[try_b] = false; at_b = IDLE }
  od
}

#define known_to_run (journal_b[0] == ARRIVED || journal_b[TRIES - 1] == ARRIVED)

inline close_all() {
  connected[0] = false
#if TRIES == 2
  connected[1] = false
#endif
}

/* What an agent had received goes with it. */
inline drain(queue) {
  do
  :: len(queue) > 0 -> queue?_
  :: else -> break
  od
}
inline drain_a() {
  drain(to_a[0])
#if TRIES == 2
  drain(to_a[1])
#endif
}
inline drain_b() {
  drain(to_b[0])
#if TRIES == 2
  drain(to_b[1])
#endif
}

active proctype Faults() {
  do
  :: atomic { faults > 0 && at_a != DOWN ->
       faults--; at_a = DOWN; close_all(); drain_a()
       if  /* a freeze without the cgroup ends with the tracer, sooner or later */
       :: copy_a == FROZEN && !held -> goes_on_at_a()
       :: true
       fi }
  :: atomic { faults > 0 && at_b != DOWN ->
       faults--; at_b = DOWN; close_all(); drain_b()
       if
       :: copy_b == PARTLY || copy_b == BUILT -> copy_b = DEAD
       :: else
       fi }
  /* The host itself. One that has the container for good takes it along: not this protocol's
     matter. Nor is what B served before it could note that it did: the exception in the document. */
  :: atomic { faults > 0 && at_b != DOWN && !known_to_run && copy_a != ABSENT ->
       faults--; at_b = DOWN; close_all(); drain_b(); booted_b = true; served_b = false
       if
       :: copy_b != ABSENT -> copy_b = DEAD
       :: else
       fi }
  :: atomic { faults > 0 && at_a != DOWN && known_to_run ->
       faults--; at_a = DOWN; close_all(); drain_a(); copy_a = ABSENT; slow = false }
  :: atomic { faults > 0 && link -> faults--; link = false; close_all() }
  :: atomic { faults > 0 -> faults = 0 }
  od
}

active proctype Repair() {
  do
  :: atomic { !link -> link = true }
  od
}

/* No run is endless (check.py has spin prove that), so each comes to where nothing happens any more:
   there one copy runs, and nothing is left of any other, nor anything to be remembered. */
#define no_entry_of(t) (journal_a[t] == NONE && journal_b[t] == NONE)

active proctype Outcome() {
  timeout ->
    assert(running_a || running_b)
    assert(copy_a == ABSENT || (running_a && !slow))  /* and nothing else is left */
    assert(copy_b == ABSENT || running_b)
    assert(no_entry_of(0) && no_entry_of(TRIES - 1))
}

ltl never_two { [] !(running_a && running_b) }
