// What the tests and the screenshots stand on: the built files over loopback HTTP under the window's own CSP, and Debian's Chromium.

import { spawn } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { createServer } from 'node:http';
import { extname, join, normalize } from 'node:path';
import { fileURLToPath } from 'node:url';

import { chromium } from 'playwright-core';

export const ROOT = fileURLToPath(new URL('..', import.meta.url));

/** As in tauri.conf.json. */
export const CSP =
  "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; font-src 'self'; connect-src ipc: http://ipc.localhost; form-action 'none'; frame-ancestors 'none'; base-uri 'none'";

/** @type {Record<string, string>} */
const TYPES = { '.html': 'text/html', '.js': 'text/javascript', '.css': 'text/css', '.svg': 'image/svg+xml' };

/**
 * Runs an npm tool of this package to its end; rejects with what it said when it fails.
 * @param {string} tool
 * @param {string[]} args
 * @returns {Promise<void>}
 */
export function run(tool, args) {
  return new Promise((done, fail) => {
    const child = spawn(process.execPath, [join(ROOT, 'node_modules', tool), ...args], { cwd: ROOT, stdio: ['ignore', 'pipe', 'pipe'] });
    let said = '';
    for (const stream of [child.stdout, child.stderr]) stream.setEncoding('utf8').on('data', (/** @type {string} */ text) => (said += text));
    child.on('error', fail);
    child.on('close', (code) => (code === 0 ? done() : fail(new Error(`${tool} failed:\n${said}`))));
  });
}

/**
 * Does the same for each of many, several at a time: each worker has what `open` gave it.
 * @template T, W
 * @param {T[]} all
 * @param {number} workers
 * @param {() => Promise<W>} open
 * @param {(one: T, worker: W) => Promise<void>} body
 */
export async function spread(all, workers, open, body) {
  const left = [...all];
  await Promise.all(
    Array.from({ length: workers }, async () => {
      const worker = await open();
      for (let one = left.shift(); one !== undefined; one = left.shift()) await body(one, worker);
    }),
  );
}

/** Where the pictures go: `ORMESH_PICTURES`, or `shots` here. */
export const PICTURES = process.env['ORMESH_PICTURES'] || join(ROOT, 'shots');

/**
 * Serves a built folder; resolves to its address and what ends it.
 * @param {string} folder
 * @returns {Promise<{ url: string, close: () => void }>}
 */
export function serve(folder) {
  const root = join(ROOT, folder);
  const server = createServer((request, response) => {
    const path = normalize(new URL(request.url ?? '/', 'http://x').pathname);
    const file = join(root, path === '/' ? 'index.html' : path);
    if (path === '/favicon.ico') return void response.writeHead(204).end();
    if (!file.startsWith(root) || !existsSync(file)) return void response.writeHead(404).end();
    response.writeHead(200, { 'content-type': TYPES[extname(file)] ?? 'application/octet-stream', 'content-security-policy': CSP });
    response.end(readFileSync(file));
  });
  return new Promise((done) =>
    server.listen(0, '127.0.0.1', () => {
      const address = server.address();
      const port = typeof address === 'object' && address ? address.port : 0;
      done({
        url: `http://127.0.0.1:${port}`,
        close: () => {
          server.close();
          server.closeAllConnections();
        },
      });
    }),
  );
}

/** Debian's Chromium, or the one that CHROMIUM names. */
export function browser() {
  return chromium.launch({
    executablePath: process.env['CHROMIUM'] ?? '/usr/bin/chromium',
    args: [
      '--no-sandbox',
      '--disable-gpu',
      '--disable-quic',
      '--no-first-run',
      '--disable-background-networking',
      '--disable-component-update',
      '--disable-sync',
      '--force-color-profile=srgb',
    ],
  });
}
