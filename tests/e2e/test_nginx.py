"""nginx with worker processes under wrk, while one more client downloads a large file."""
import re
import signal
import unittest

from moved_service import ADDRESS, HERE, MovedServiceTest, finish, wait

CONFIG = """
daemon off; user www-data; worker_processes 2; error_log stderr; pid /run/nginx-test.pid;
events { worker_connections 256; }
http { access_log off; server { listen 80; root /srv/web; } }
"""
FILE_MIB = 64
SETUP = f"""
mkdir -p /srv/web && python3 {HERE}/download.py --make {FILE_MIB} > /srv/web/file
echo 'a page' > /srv/web/index.html
printf '%s' "$1" > /tmp/nginx.conf && exec nginx -c /tmp/nginx.conf
"""


class Nginx(MovedServiceTest):
    def test_clients_notice_nothing(self):
        self.run_container(["sh", "-c", SETUP, "sh", CONFIG], port=80)
        download = self.start_client("python3", HERE / "download.py", "--host", ADDRESS,
                                     "--path", "/file", "--mib", FILE_MIB, "--seconds", 5,
                                     "--hold", ready="ready")
        wrk = self.start_client("wrk", "-t", "1", "-c", "30", "-d", "25s", "--timeout", "10s",
                                f"http://{ADDRESS}/index.html")
        self.move_there_and_back(download, wrk)

        output = finish(wrk, signal.SIGINT)
        self.assertNotRegex(output, "Socket errors|Non-2xx")
        self.assertGreater(int(re.search(r"(\d+) requests in", output)[1]), 100)
        output = wait(download)
        self.assertEqual(download.returncode, 0, output)


if __name__ == "__main__":
    unittest.main()
