"""At every step of a migration: the source's agent is killed, the destination's, both, or the link is cut, and
the container is one afterwards, with everything that it had acknowledged.

At each step of each mode one of these happens, not the same at neighbouring steps; everything everywhere
with MARTLET_FAULT_GRID=full. Every other move goes over three connections. MARTLET_FAULT_STEPS, a part of the
names of steps, limits the grid, MARTLET_FAULT_MODES the modes.
"""
import os
import time
import unittest

from moving_pair import MovingPair, fault_steps, resume

MODES = ["stop", "precopy", "postcopy"]
PASSED_IN = {"always": MODES, "stop": ["stop"], "rounds": ["precopy"], "late-memory": ["postcopy"]}
ACTIONS = ["this", "other", "both", "link"]
FINISHED = 60  # seconds for a migration after the fault


def cases():
    """Mode, step, owner after a failure of the step's side, and action."""
    part = os.environ.get("MARTLET_FAULT_STEPS", "")
    full = os.environ.get("MARTLET_FAULT_GRID") == "full"
    for shift, mode in enumerate(MODES):
        if mode not in os.environ.get("MARTLET_FAULT_MODES", " ".join(MODES)).split():
            continue
        for number, (step, owner, passed) in enumerate(fault_steps()):
            if part not in step or mode not in PASSED_IN[passed]:
                continue
            # Every action meets every kind of step, and each step another one in each mode.
            for action in ACTIONS if full else [ACTIONS[(number + shift) % len(ACTIONS)]]:
                yield mode, step, owner, action


class Grid(unittest.TestCase):
    def setUp(self):
        self.pair = self.enterContext(MovingPair())

    def hit(self, step, action):
        """What happens at the step, at which the agent of its side stands still."""
        pair = self.pair
        this = pair.side(step.partition(".")[0])
        other = pair.destination if this is pair.source else pair.source
        if action in ("other", "both"):
            pair.kill(other)
        if action in ("this", "both"):
            pair.kill(this)
        if action == "other":
            resume(this)
        if action == "link":
            pair.cut_link()
            resume(this)
            time.sleep(0.3)  # how long the link is cut; nothing is waited for
            pair.join_link()

    def try_case(self, mode, step, owner, action, options):
        pair = self.pair
        side = pair.side(step.partition(".")[0])
        expected = {"source": pair.source, "destination": pair.destination}.get(owner)
        pair.restart(side, "--fault", f"{step}:stop")
        with pair.start_move("--mode", mode, *options) as move:
            pair.wait_for_stop(side, step)
            self.hit(step, action)
            for host in (pair.source, pair.destination):
                if host.agent.poll() is not None:
                    host.start_agent()
            move.communicate(timeout=FINISHED)
        found = pair.settle()
        if action == "this" and expected:
            self.assertEqual(found.name, expected.name)

    def test_every_step(self):
        for number, (mode, step, owner, action) in enumerate(cases()):
            started = time.monotonic()
            options = ["--streams", "3"] if number % 2 else []
            try:
                self.try_case(mode, step, owner, action, options)
            except Exception as error:  # what follows would start from a broken pair
                raise AssertionError(f"{mode} {step} {action} {options}") from error
            print(f"{mode} {step} {action} {' '.join(options)}: {time.monotonic() - started:.1f} s", flush=True)


if __name__ == "__main__":
    unittest.main()
