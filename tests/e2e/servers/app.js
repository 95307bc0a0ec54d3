// An HTTP server with timers, worker threads, work in the thread pool and a child process; see verifying_client.py.
const { spawn } = require('child_process');
const crypto = require('crypto');
const fs = require('fs');
const http = require('http');
const readline = require('readline');
const { Worker, isMainThread, parentPort } = require('worker_threads');

function runWorker() {
  parentPort.on('message', ({ id, text }) => {
    const digest = crypto.createHash('sha256').update(text).digest('hex');
    parentPort.postMessage({ id, digest });
  });
}

function runServer() {
  const waiting = new Map();
  const counts = new Map();
  const workers = [1, 2, 3].map(() => new Worker(__filename));
  for (const worker of workers) {
    worker.on('message', ({ id, digest }) => {
      waiting.get(id).end(digest);
      waiting.delete(id);
    });
  }
  const cat = spawn('cat');
  const echoing = [];
  readline.createInterface({ input: cat.stdout }).on('line', (text) => echoing.shift().end(text));
  let ticks = 0;
  let nextId = 0;
  setInterval(() => ticks++, 10);
  setInterval(() => fs.readFile(__filename, () => {}), 50);
  setInterval(() => crypto.pbkdf2('a', 'b', 100, 32, 'sha256', () => {}), 50);

  const server = http.createServer((request, response) => {
    const [, action, first, second] = request.url.split('/');
    if (action === 'digest') {
      const id = nextId++;
      waiting.set(id, response);
      workers[id % workers.length].postMessage({ id, text: first });
    } else if (action === 'after') {
      setTimeout(() => response.end(`after ${second}`), Number(first));
    } else if (action === 'count') {
      counts.set(first, (counts.get(first) || 0) + 1);
      response.end(String(counts.get(first)));
    } else if (action === 'echo') {
      echoing.push(response);
      cat.stdin.write(`${first}\n`);
    } else if (action === 'ticks') {
      response.end(String(ticks));
    } else {
      response.writeHead(404).end();
    }
  });
  server.keepAliveTimeout = 60000;
  server.listen(8080, '0.0.0.0');
}

if (isMainThread) runServer();
else runWorker();
