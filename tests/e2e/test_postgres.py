"""PostgreSQL (many processes, shared memory, its own user) under pgbench."""
import signal
import unittest

from moved_service import ADDRESS, MovedServiceTest, finish

BIN = "$(ls -d /usr/lib/postgresql/*/bin | tail -1)"
DATA = "/var/tmp/pgdata"
SERVER = f"""
bin={BIN}
install -d -o postgres -m 700 {DATA} && cd {DATA}
as_user="setpriv --reuid postgres --regid postgres --init-groups env HOME={DATA} LC_ALL=C"
$as_user $bin/initdb --no-sync -A trust -D {DATA} >/dev/null
echo 'host all all all trust' >> {DATA}/pg_hba.conf
exec $as_user $bin/postgres -D {DATA} -c listen_addresses=0.0.0.0 -c shared_buffers=32MB \
  -c unix_socket_directories={DATA} -c fsync=off -c max_connections=70 -c huge_pages=off
"""
CONNECTION = ["-h", ADDRESS, "-U", "postgres"]
BALANCES = """
select (select sum(abalance) from pgbench_accounts), (select sum(tbalance) from pgbench_tellers),
       (select sum(bbalance) from pgbench_branches), (select sum(delta) from pgbench_history)
"""


class Postgres(MovedServiceTest):
    def query(self, statement):
        done = self.in_client("psql", *CONNECTION, "-At", "-c", statement, "postgres")
        self.assertEqual(done.returncode, 0, done.stderr)
        return done.stdout.strip()

    def test_clients_notice_nothing(self):
        self.run_container(["sh", "-ec", SERVER], port=5432)
        done = self.in_client("pgbench", *CONNECTION, "-i", "-q", "-s", "2", "postgres")
        self.assertEqual(done.returncode, 0, done.stderr)
        listener = self.start_client("psql", *CONNECTION, "-c", "select pg_sleep(3600)", "postgres")
        bench = self.start_client("pgbench", *CONNECTION, "-n", "-c", "50", "-j", "2", "-T", "600",
                                  "-P", "1", "postgres")
        self.move_there_and_back(bench, listener)

        output = finish(bench, signal.SIGINT)
        self.assertRegex(output, r"(?m)^progress: .*, 0 failed$")
        self.assertNotRegex(output, r"error|aborted|[1-9]\d* failed")
        sums = self.query(BALANCES).split("|")
        self.assertEqual(len(set(sums)), 1, f"balances differ: {sums}")
        self.assertGreater(int(self.query("select count(*) from pgbench_history")), 100)


if __name__ == "__main__":
    unittest.main()
