// What the tests and the screenshots stand on: the built files over loopback HTTP under the window's own CSP, and Debian's Chromium.

import { spawnSync } from 'node:child_process';
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
 * Runs an npm tool of this package to its end.
 * @param {string} tool
 * @param {string[]} args
 */
export function run(tool, args) {
  return spawnSync(process.execPath, [join(ROOT, 'node_modules', tool), ...args], { cwd: ROOT, encoding: 'utf8' });
}

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
    args: ['--no-sandbox', '--disable-gpu', '--force-color-profile=srgb'],
  });
}
