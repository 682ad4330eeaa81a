// All that is tested of the window: its types, its build, every state of the gallery in both themes with a picture of each (into
// ORMESH_PICTURES, or `shots/`), and walks through it by keyboard. The last line is `N passed, N failed`; the exit code is 1 when
// something failed.

import assert from 'node:assert/strict';
import { mkdirSync, readFileSync, readdirSync } from 'node:fs';
import { createRequire } from 'node:module';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';

import { runnerImport } from 'vite';

import { PICTURES, ROOT, browser, run, serve, spread } from './stage.mjs';

const axe = readFileSync(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8');
/** `ONLY=enter npm test` plays the tests whose names it fits, and builds what they need. */
const ONLY = process.env['ONLY'] ? new RegExp(process.env['ONLY'], 'i') : null;
let passed = 0;
let failed = 0;

/**
 * One test: it passes unless it throws.
 * @param {string} name
 * @param {() => unknown} body
 */
async function test(name, body) {
  if (ONLY && !ONLY.test(name) && !name.includes('build')) return;
  try {
    await body();
    passed += 1;
    if (process.env['VERBOSE']) console.log(`ok    ${name}`);
  } catch (error) {
    failed += 1;
    console.log(`FAIL  ${name}\n      ${String(error instanceof Error ? error.message : error).replace(/\n/g, '\n      ')}`);
  }
}

// Beside the rest, since they take a while.
const types = Promise.all([
  test('svelte-check finds nothing', () => run('svelte-check/bin/svelte-check', ['--tsconfig', './tsconfig.json', '--fail-on-warnings'])),
  test('tsc finds nothing in the tests', () => run('typescript/bin/tsc', ['--noEmit', '-p', 'tests/tsconfig.json'])),
]);

await test('the window and the gallery build', async () => {
  await run('vite/bin/vite.js', ['build', '--logLevel', 'error']);
  await run('vite/bin/vite.js', ['build', '--mode', 'gallery', '--logLevel', 'error']);
});

await test('two problems are one by their code and subject, whatever their words', async () => {
  const { module } = await runnerImport(join(ROOT, 'src/lib/problems.ts'));
  const { isSame, problemOf } = module;
  const nas = { is: 'remote', id: 'nas' };
  const one = problemOf('remote-unreachable', 'nas was not reached', '', { subject: nas });
  const same = [problemOf('remote-unreachable', 'no way to nas', 'wait', { subject: { ...nas }, severity: 'warning', since: 5 })];
  const others = [
    problemOf('remote-unreachable', one.message),
    problemOf('remote-unreachable', one.message, '', { subject: { is: 'remote', id: 'web' } }),
    problemOf('remote-unreachable', one.message, '', { subject: { is: 'client', id: 'nas' } }),
    problemOf('dial-failed', one.message, '', { subject: nas }),
  ];
  for (const other of same) assert.ok(isSame(one, other));
  for (const other of others) assert.ok(!isSame(one, other), JSON.stringify(other));
  assert.ok(isSame(problemOf('agent-silent', 'a'), problemOf('agent-silent', 'b')));
});

await test('what is built is small, self-contained, and has nothing inline', () => {
  const html = readFileSync(join(ROOT, 'dist/index.html'), 'utf8');
  assert.doesNotMatch(html, /<style|\sstyle=|<script(?![^>]*\ssrc=)|\son\w+=/);
  assert.doesNotMatch(html, /https?:/);
  const files = readdirSync(join(ROOT, 'dist/assets'));
  let size = gzipSync(html).length;
  for (const file of files) {
    const text = readFileSync(join(ROOT, 'dist/assets', file), 'utf8');
    size += gzipSync(text).length;
    assert.doesNotMatch(text, /gallery|ormeshreq1q/, `${file} holds something of the gallery`);
    if (file.endsWith('.css')) assert.doesNotMatch(text, /url\(|@import/, `${file} loads something`);
    // Markup that Svelte clones must not carry style attributes: the CSP would drop them.
    if (file.endsWith('.js')) assert.doesNotMatch(text, /<[a-z]+[^>`"]* style=/, `${file} has a style attribute in its markup`);
  }
  console.log(`      ${(size / 1000).toFixed(1)} kB gzipped`);
  assert.ok(size < 80_000, `${size} bytes gzipped`);
});

const chrome = await browser();
const gallery = await serve('dist-gallery');
const real = await serve('dist');

/**
 * A page that fails the test on anything it complains of: errors, and what the CSP stopped.
 * @param {import('playwright-core').BrowserContextOptions} options
 * @param {(page: import('playwright-core').Page, complaints: string[]) => Promise<void>} body
 */
async function withPage(options, body) {
  const context = await chrome.newContext({ viewport: { width: 1000, height: 720 }, reducedMotion: 'reduce', ...options });
  const page = await context.newPage();
  /** @type {string[]} */
  const complaints = [];
  page.on('pageerror', (error) => complaints.push(error.message));
  page.on('console', (message) => {
    if (message.type() === 'error' || message.type() === 'warning') complaints.push(message.text());
  });
  try {
    await body(page, complaints);
    assert.deepEqual(complaints, []);
  } finally {
    await context.close();
  }
}

/**
 * @param {import('playwright-core').Page} page
 * @param {string} name
 */
async function show(page, name) {
  await page.goto(`${gallery.url}/gallery.html?state=${name}`);
  await page.evaluate(() => window.gallery.ready);
}

/** @param {import('playwright-core').Page} page */
const overflow = (page) =>
  page.evaluate(() => {
    const wide = document.documentElement.scrollWidth - document.documentElement.clientWidth;
    const dialog = document.querySelector('dialog[open]');
    return Math.max(wide, dialog ? dialog.scrollWidth - dialog.clientWidth : 0);
  });

/** Counts the clicks that it makes. @param {import('playwright-core').Page} page */
function clicking(page) {
  let clicks = 0;
  return {
    click: async (/** @type {string} */ name) => {
      clicks += 1;
      const inDialog = (await page.locator('dialog[open]').count()) > 0;
      await (inDialog ? page.getByRole('dialog') : page).getByRole('button', { name, exact: true }).click();
    },
    made: () => clicks,
  };
}
/** @param {import('playwright-core').Page} page @param {RegExp} which */
const called = async (page, which) => (await page.evaluate(() => window.gallery.backend?.calls ?? [])).filter((call) => which.test(call.command));

/** @type {string[]} */
let names = [];
await withPage({}, async (page) => {
  await page.goto(`${gallery.url}/gallery.html`);
  names = await page.evaluate(() => window.gallery.names);
});
await test('the gallery shows many states', () => assert.ok(names.length > 30, `${names.length} states`));

mkdirSync(PICTURES, { recursive: true });

/** Axe's findings on what is shown, one line each. @param {import('playwright-core').Page} page */
async function findings(page) {
  // By evaluation, which the CSP does not see: axe is the test's, not the page's.
  if (await page.evaluate(() => !('axe' in window))) await page.evaluate(axe);
  const { violations, checked } = await page.evaluate(async () => {
    // @ts-expect-error: axe was put there the line before.
    const results = await window.axe.run(document, { resultTypes: ['violations'], rules: { region: { enabled: true } } });
    return {
      checked: results.passes.length,
      violations: results.violations.map((/** @type {any} */ one) => `${one.id}: ${one.nodes.map((/** @type {any} */ node) => `${node.html} ${node.any[0]?.message ?? ''}`).join(' | ')}`),
    };
  });
  assert.ok(checked > 5, 'axe looked at nothing');
  return violations;
}

await spread(
  names.filter((name) => !ONLY || ONLY.test(name)),
  3,
  () => Promise.resolve(null),
  (name) =>
    withPage({}, async (page, complaints) => {
      const look = async (/** @type {'light' | 'dark'} */ colorScheme) => {
        await page.emulateMedia({ colorScheme, reducedMotion: 'reduce' });
        await page.screenshot({ path: join(PICTURES, `${name}-${colorScheme}.png`) });
        assert.deepEqual(await findings(page), []);
        assert.deepEqual(complaints, []);
      };
      await test(`${name}, light: axe finds nothing, nothing is blocked`, async () => {
        await show(page, name);
        await look('light');
      });
      await test(`${name}, dark: axe finds nothing`, () => look('dark'));
      await test(`${name}: nothing scrolls sideways, narrow, wide, or with text twice as large`, async () => {
        await page.emulateMedia({ colorScheme: 'light', reducedMotion: 'reduce' });
        await page.setViewportSize({ width: 320, height: 640 });
        assert.equal(await overflow(page), 0, 'at 320 px');
        await page.screenshot({ path: join(PICTURES, `${name}-narrow.png`) });
        await page.setViewportSize({ width: 1000, height: 720 });
        await page.evaluate(() => (document.documentElement.style.fontSize = '200%'));
        assert.equal(await overflow(page), 0, 'with text of 200 %');
        await page.evaluate(() => (document.documentElement.style.fontSize = ''));
        await page.setViewportSize({ width: 3840, height: 2160 });
        assert.equal(await overflow(page), 0, 'at 3840 px');
      });
    }).catch((error) => test(`${name}: its page`, () => Promise.reject(error))),
);

await test('more contrast and forced colours keep every button told apart', () =>
  withPage({ contrast: 'more', forcedColors: 'active' }, async (page) => {
    await show(page, 'mesh');
    const borders = await page.$$eval('.button:not(.plain)', (buttons) => buttons.map((button) => getComputedStyle(button).borderTopWidth));
    assert.ok(borders.length > 3);
    assert.ok(borders.every((width) => parseFloat(width) >= 1));
  }));

await test('a client that is turned away is said to be, and never folded away', () =>
  withPage({}, async (page) => {
    await show(page, 'client-full');
    await page.getByText('port 80 has no room for more connections').waitFor();
    await show(page, 'many');
    await page.getByText('ports 22, 443 have no room for more connections').waitFor();
  }));

await test('what was not confirmed for long is said to be so, beside no answer from before', () =>
  withPage({}, async (page) => {
    await show(page, 'mesh-open');
    await page.getByText('Answered in').waitFor();
    await page.evaluate(async () => {
      const view = /** @type {any} */ (await window.gallery.backend?.state());
      const remotes = view.status.remotes.map((/** @type {object} */ one) => ({ ...one, unconfirmed: 40 }));
      window.gallery.backend?.push({ ...view, status: { ...view.status, remotes } });
    });
    await page.getByText('not confirmed for 40 s').first().waitFor();
    await page.getByText('Answered in').waitFor({ state: 'detached' });
  }));

await test('the last events are told newest first, all of them when they are asked for', () =>
  withPage({}, async (page) => {
    await show(page, 'events');
    const lines = page.locator('section[aria-labelledby=events] li');
    assert.equal(await lines.count(), 8);
    assert.match(await lines.first().innerText(), /office reached again/);
    await page.getByText('anna-laptop connected').waitFor();
    await page.getByRole('button', { name: 'Show all 14 events' }).click();
    assert.equal(await lines.count(), 14);
    assert.match(await lines.last().innerText(), /Online/);
    await page.getByRole('button', { name: 'Open the log' }).click();
    assert.equal((await called(page, /openLog/)).length, 1);
    await page.getByRole('button', { name: 'Settings' }).click();
    await page.getByRole('button', { name: 'What happened' }).click();
    await page.getByRole('heading', { name: 'The last day' }).waitFor();
  }));

await test('each sort of notification is off by one switch', () =>
  withPage({}, async (page) => {
    await show(page, 'settings');
    await page.getByRole('switch', { name: 'Lost imports' }).uncheck();
    await page.waitForFunction(() => window.gallery.backend?.calls.some((call) => call.command === 'setTold'));
    assert.deepEqual((await called(page, /setTold/)).map((call) => call.args), [[{ clients: true, imports: false, problems: true }]]);
  }));

await test('keys that were left in another store are told of, and given up only after a question', () =>
  withPage({}, async (page) => {
    await show(page, 'settings-moved');
    await page.getByText("the system's keyring, which was used before").waitFor();
    await page.getByRole('button', { name: 'Leave the old keys' }).click();
    await page.getByText('If somebody finds it, they have those keys.').waitFor();
    assert.deepEqual(await called(page, /secretsForget/), []);
    await page.getByRole('button', { name: 'Leave them' }).click();
    await page.getByText('keys that are left in os-keyring are not erased any more', { exact: false }).waitFor();
    assert.deepEqual((await called(page, /secretsForget/)).map((call) => call.args), [['os-keyring']]);
  }));

await test('a question says what goes along: exports that are for nobody then, clients without a port, imports', () =>
  withPage({}, async (page) => {
    await show(page, 'confirm-revoke');
    await page.getByText('Port 5432 is for no client then.').waitFor();
    await show(page, 'confirm-export');
    await page.getByText('anna-laptop has no other port').waitFor();
    await show(page, 'many');
    await page.getByText('Address and key').first().click();
    await page.getByRole('button', { name: 'Delete', exact: true }).first().click();
    await page.getByText('So will those that connect to 20 other imports.').waitFor();
  }));

await test('the sheet of an invite turns to what it was for when the client has connected', () =>
  withPage({}, async (page) => {
    await show(page, 'invite-secret');
    await page.getByText('Whoever has this can connect.').waitFor();
    await page.evaluate(async () => {
      const view = /** @type {any} */ (await window.gallery.backend?.state());
      const clients = view.status.clients.map((/** @type {any} */ one) => (one.name === 'my-MacBook' ? { ...one, last_seen: 1_795_348_799, state: { is: 'connected' }, sessions: 1 } : one));
      window.gallery.backend?.push({ ...view, status: { ...view.status, clients } });
    });
    await page.getByRole('status').getByText('my-MacBook has connected.').waitFor();
    assert.equal(await page.getByText('Whoever has this can connect.').count(), 0);
    assert.equal(await page.getByText('any camera or QR reader').count(), 0);
  }));

await test('motion stops where it is not wanted', () =>
  withPage({ reducedMotion: 'reduce' }, async (page) => {
    await show(page, 'connecting');
    const endless = await page.evaluate(() => document.getAnimations().filter((one) => one.effect?.getTiming().iterations === Infinity).length);
    assert.equal(endless, 0);
  }));

await test('the keyboard alone shares a port, with the focus kept in the dialog and given back', () =>
  withPage({}, async (page) => {
    await show(page, 'mesh');
    const active = () => page.evaluate(() => document.activeElement?.textContent?.trim() ?? '');
    for (let turn = 0; turn < 20 && (await active()) !== 'Add export'; turn += 1) await page.keyboard.press('Tab');
    assert.equal(await active(), 'Add export');
    const ring = await page.evaluate(() => getComputedStyle(/** @type {Element} */ (document.activeElement)).boxShadow);
    assert.notEqual(ring, 'none', 'the focused button has a ring');

    await page.keyboard.press('Enter');
    await page.getByRole('dialog', { name: 'Share a port' }).waitFor();
    assert.equal(await page.evaluate(() => /** @type {HTMLInputElement} */ (document.activeElement).labels?.[0]?.textContent), 'Port');

    await page.keyboard.type('70000x');
    await page.getByText('is not [ADDRESS:]PORT').waitFor();
    assert.equal(await page.getByRole('button', { name: 'Share', exact: true }).isDisabled(), true);
    await page.keyboard.press('Control+A');
    await page.keyboard.type('8080');
    await page.locator('dialog .mark').first().waitFor();

    // The focus stays in the dialog (or with the browser itself), however often one tabs.
    for (let turn = 0; turn < 15; turn += 1) {
      await page.keyboard.press('Tab');
      const inside = await page.evaluate(() => document.activeElement === document.body || document.activeElement?.closest('dialog') !== null);
      assert.ok(inside, 'the focus left the dialog');
    }

    // Closed half way, what was typed is still there.
    await page.keyboard.press('Escape');
    await page.locator('dialog').waitFor({ state: 'detached' });
    assert.equal(await active(), 'Add export');
    await page.keyboard.press('Enter');
    await page.locator('dialog .mark').first().waitFor();
    assert.equal(await page.getByLabel('Port', { exact: true }).inputValue(), '8080');

    await page.keyboard.press('Enter');
    await page.locator('dialog').waitFor({ state: 'detached' });
    await page.getByText('127.0.0.1:8080').waitFor();
    const edits = await page.evaluate(() => window.gallery.backend?.calls.filter((call) => call.command === 'edit'));
    assert.deepEqual(edits, [{ command: 'edit', args: [{ edit: 'add-export', target: '8080', port: null, allow_lan: false }] }]);
  }));

await test('enter right after the last key does what the button does, and says what is missing', () =>
  withPage({}, async (page) => {
    const calls = (/** @type {string} */ command) => page.evaluate((command) => window.gallery.backend?.calls.filter((call) => call.command === command).length, command);
    const focused = () => page.evaluate(() => /** @type {HTMLInputElement} */ (document.activeElement).labels?.[0]?.textContent?.trim());

    await show(page, 'add-export');
    await page.keyboard.press('Enter');
    await page.getByText('This is needed.').waitFor();
    await page.keyboard.type('8080');
    await page.keyboard.press('Enter');
    await page.getByRole('dialog').waitFor({ state: 'detached' });
    assert.equal(await calls('edit'), 1);

    await show(page, 'add-export');
    await page.keyboard.type('70000x');
    await page.keyboard.press('Enter');
    await page.getByText('is not [ADDRESS:]PORT').waitFor();
    assert.equal(await calls('edit'), 0);

    // The address here is suggested by the port, and waited for as well.
    await show(page, 'add-import');
    await page.getByLabel('Port of home-server').fill('5432');
    await page.keyboard.press('Enter');
    await page.getByRole('dialog').waitFor({ state: 'detached' });
    assert.equal(await calls('edit'), 1);

    // A long field that holds one text takes no line: Enter in it goes on, or to what is missing.
    await show(page, 'add-remote');
    await page.getByLabel('I have an invite').check();
    await page.getByLabel('Invite', { exact: true }).fill(`ormesh1${'q'.repeat(120)}`);
    await page.keyboard.press('Enter');
    await page.waitForFunction(() => /** @type {HTMLInputElement} */ (document.activeElement).labels?.[0]?.textContent?.trim() === 'Name');
    assert.equal(await page.getByLabel('Invite', { exact: true }).inputValue(), `ormesh1${'q'.repeat(120)}`);
    await page.keyboard.type('home');
    await page.keyboard.press('Enter');
    await page.getByRole('dialog', { name: 'Import from home' }).waitFor();
    assert.equal(await calls('remoteAdd'), 1);

    await show(page, 'add-client-request');
    await page.getByRole('textbox', { name: 'Their request' }).fill('ormeshreq1qypz9x8gf2tvdw0');
    await page.keyboard.press('Enter');
    await page.waitForFunction(() => /** @type {HTMLInputElement} */ (document.activeElement).labels?.[0]?.textContent?.trim() === 'Name');
    await page.keyboard.type('anna-laptop');
    // A click as quick as that waits, too.
    await page.getByRole('button', { name: 'Let in' }).click();
    await page.getByRole('dialog', { name: 'Invite for anna-laptop' }).waitFor();

    // Bridges are lines.
    await show(page, 'settings');
    await page.getByLabel('Bridges').fill('198.51.100.4:9001');
    await page.keyboard.press('Enter');
    await page.keyboard.type('198.51.100.5:9001');
    assert.equal(await page.getByLabel('Bridges').inputValue(), '198.51.100.4:9001\n198.51.100.5:9001');
    await page.getByRole('textbox', { name: 'Address', exact: true }).fill('127.0.0.1:9251');
    await page.keyboard.press('Enter');
    await page.waitForFunction(() => window.gallery.backend?.calls.some((call) => call.command === 'setSetting'));
    assert.equal(await focused(), 'Address');
  }));

await test('the focus never falls to the page: it goes back to what opened a dialog, or to what is nearest', () =>
  withPage({}, async (page) => {
    const active = () =>
      page.evaluate(() => {
        const at = document.activeElement;
        const text = at?.getAttribute('aria-label') ?? at?.querySelector('strong')?.textContent ?? (at instanceof HTMLInputElement ? at.labels?.[0]?.textContent : at?.textContent);
        return at === document.body ? 'the page' : (text ?? '').replace(/\s+/g, ' ').trim();
      });
    const tabTo = async (/** @type {string} */ name) => {
      for (let turn = 0; turn < 80 && (await active()) !== name; turn += 1) await page.keyboard.press('Tab');
      assert.equal(await active(), name);
    };
    const press = async (/** @type {string} */ name) => {
      await tabTo(name);
      await page.keyboard.press('Enter');
    };
    const dialog = (/** @type {string} */ name) => page.getByRole('dialog', { name }).waitFor();
    const is = async (/** @type {string} */ name) => {
      for (let turn = 0; turn < 50 && ((await active()) !== name || (await page.locator('dialog').count()) > 0); turn += 1) await page.waitForTimeout(20);
      assert.equal(await active(), name);
      assert.equal(await page.locator('dialog').count(), 0);
    };

    // Every dialog that is left by Escape.
    await show(page, 'mesh-open');
    for (const [button, title] of [
      ['Add export', 'Share a port'],
      ['Add client', 'Let somebody in'],
      ['Change access', 'Access of anna-laptop'],
      ['New keys', 'New keys for anna-laptop?'],
      ['Revoke', 'Revoke anna-laptop?'],
      ['Stop exporting port 22', 'Stop sharing port 22?'],
      ['Who may open port 22', 'Who may open port 22'],
      ['Add remote', 'Add a remote'],
      ['Continue', 'Access to studio'],
      ['Give up the request for studio', 'Give up the request for studio?'],
      ['Add import from home-server', 'Import from home-server'],
    ]) {
      await press(/** @type {string} */ (button));
      await dialog(/** @type {string} */ (title));
      await page.keyboard.press('Escape');
      await is(/** @type {string} */ (button));
    }

    // What goes away by what was done: to its neighbour.
    await tabTo('Revoke');
    await page.keyboard.press('Enter');
    await dialog('Revoke anna-laptop?');
    await press('Revoke');
    await is('build-server');
    await press('Give up the request for studio');
    await dialog('Give up the request for studio?');
    await press('Give up request');
    await is('Ping cabin');
    await press('Stop exporting port 22');
    await press('Stop sharing');
    await page.getByText('Stop sharing port').waitFor({ state: 'detached' });
    assert.match(await active(), /^(Who may open|Stop exporting) port/);

    // A ping's button is off while it asks, and has the focus afterwards.
    await press('Ping home-server');
    await page.getByText(/^Answered in/).waitFor();
    await is('Ping home-server');

    // An import that was made.
    await press('Add import from home-server');
    await dialog('Import from home-server');
    await page.keyboard.type('22');
    await page.keyboard.press('Enter');
    await is('Add import from home-server');

    // From one dialog to the next, and out: the page itself has become another.
    await show(page, 'welcome');
    await press('Share port 8000 python3');
    await dialog('Share a port');
    assert.equal(await active(), 'Name of who may open it optional');
    await page.keyboard.type('anna');
    await page.keyboard.press('Enter');
    await dialog('Invite for anna');
    assert.equal(await active(), 'Copy');
    await page.keyboard.press('Escape');
    await is('Add export');

    // A step of a dialog.
    await show(page, 'mesh');
    await press('Add remote');
    await dialog('Add a remote');
    await page.keyboard.type('workshop');
    await press('Make request');
    await page.getByText('Send this request to the owner').waitFor();
    assert.equal(await active(), 'Copy');
    await page.keyboard.press('Escape');
    await is('Add remote');
  }));

await test('who gains by an export is named, and it can be for some clients only, now or later', () =>
  withPage({}, async (page) => {
    await show(page, 'add-export');
    await page.getByText('every client that may open all exports: build-server, my-MacBook, tablet and workshop; later ones, too').waitFor();
    await page.getByLabel('Port', { exact: true }).fill('8080');
    await page.locator('dialog .mark').first().waitFor();
    await page.getByLabel('only these').check();
    assert.equal(await page.getByRole('button', { name: 'Share', exact: true }).isDisabled(), true, 'it would be for nobody');
    await page.getByRole('checkbox', { name: 'anna-laptop' }).check();
    await page.getByRole('button', { name: 'Share', exact: true }).click();
    await page.getByText('for anna-laptop only').waitFor();

    await page.getByRole('button', { name: 'Who may open port 8080' }).click();
    await page.getByRole('checkbox', { name: 'tablet' }).check();
    await page.getByRole('button', { name: 'Save' }).click();
    await page.getByText('for anna-laptop and tablet only').waitFor();
    await page.getByText('anna-laptop and tablet can now reach port 8080').waitFor();
    const edits = await page.evaluate(() => window.gallery.backend?.calls.filter((call) => call.command === 'edit').map((call) => call.args[0]));
    assert.deepEqual(edits, [
      { edit: 'add-export', target: '8080', port: null, allow_lan: false, clients: ['anna-laptop'] },
      { edit: 'set-export', port: 8080, clients: ['anna-laptop', 'tablet'] },
    ]);
  }));

await test('nothing typed is lost when the agent dies', () =>
  withPage({}, async (page) => {
    await show(page, 'add-client-invite');
    await page.getByLabel('Name', { exact: true }).fill('anna-laptop');
    await page.evaluate(() => window.gallery.backend?.push({ agent: 'none', status: null, problem: null }));
    await page.locator('header h1', { hasText: 'Stopped' }).waitFor({ state: 'attached' });
    assert.equal(await page.getByLabel('Name', { exact: true }).inputValue(), 'anna-laptop');
    await page.keyboard.press('Escape');
    await page.getByRole('button', { name: 'Start the agent' }).click();
    const starts = await page.evaluate(() => window.gallery.backend?.calls.filter((call) => call.command === 'agentStart').length);
    assert.equal(starts, 1);
  }));

await test('the first minute: share a port, answer a request, show the invite, in one dialog', () =>
  withPage({}, async (page) => {
    await show(page, 'welcome');
    await page.getByRole('button', { name: 'Share a port' }).click();
    await page.getByLabel('Port', { exact: true }).fill('8080');
    await page.getByLabel('Name of who may open it').fill('anna-laptop');
    await page.getByRole('button', { name: 'They sent me a request' }).click();
    await page.getByRole('textbox', { name: 'Their request' }).fill('ormeshreq1qypz9x8gf2tvdw0');
    await page.getByRole('button', { name: 'Share and make invite' }).click();
    await page.getByRole('dialog', { name: 'Invite for anna-laptop' }).waitFor();
    await page.getByText('It holds no secret.').waitFor();
    await page.getByRole('button', { name: 'Copy', exact: true }).click();
    const calls = await page.evaluate(() => window.gallery.backend?.calls.map((call) => call.command).filter((one) => /copy|clientAdd/i.test(one)));
    assert.deepEqual(calls, ['clientAdd', 'copy'], 'what holds no secret goes to the clipboard as any text does');
  }));

await test('share and invite on a first run: three clicks and a name', () =>
  withPage({}, async (page) => {
    await show(page, 'welcome');
    const hand = clicking(page);
    await hand.click('Share port 3000 node');
    await page.getByRole('dialog', { name: 'Share a port' }).waitFor();
    // The program's own address is taken: it listens by IPv6 alone, perhaps.
    assert.equal(await page.getByLabel('Port', { exact: true }).inputValue(), 'localhost:3000');
    await page.keyboard.type('anna laptop');
    await hand.click('Share and make invite');
    await page.getByText('On their computer they open ormesh and paste it').waitFor();
    await hand.click('Copy');
    assert.equal(hand.made(), 3);
    const calls = await called(page, /edit|clientAdd|copy/i);
    assert.deepEqual(calls.map((call) => call.command), ['edit', 'clientAdd', 'copySecret']);
    assert.deepEqual(calls[0]?.args, [{ edit: 'add-export', target: 'localhost:3000', port: null, allow_lan: false }]);
    assert.deepEqual(calls[1]?.args, [{ name: 'anna-laptop', request: null, ports: null, expires: null }]);
  }));

await test('what went wrong with the first client is said where it was named, and the same again goes on from there', () =>
  withPage({}, async (page) => {
    await show(page, 'add-export-first-locked');
    await page.getByRole('button', { name: 'Share and make invite' }).click();
    await page.getByRole('dialog').getByText('The secret store is locked').waitFor();
    assert.equal(await page.getByLabel('Name of who may open it').inputValue(), 'anna');
    await page.getByRole('button', { name: 'Share and make invite' }).click();
    assert.deepEqual((await called(page, /edit|clientAdd/)).map((call) => call.command), ['edit', 'clientAdd', 'edit', 'clientAdd']);
  }));

await test('another import is one click on a port that the remote offers, and one more takes it back', () =>
  withPage({}, async (page) => {
    await show(page, 'mesh');
    const hand = clicking(page);
    const card = page.getByRole('region', { name: 'Remote home-server' });
    await hand.click('Import port 5432 PostgreSQL');
    await card.getByText('127.0.0.1:5432').waitFor();
    assert.equal(hand.made(), 1);
    await page.getByText('Port 5432 of home-server is at 127.0.0.1:5432.').waitFor();
    assert.equal(await card.getByRole('button', { name: 'Import port 5432' }).count(), 0);
    await page.getByRole('button', { name: 'Undo' }).click();
    await page.getByText('Undone: it is as it was.').waitFor();
    await card.getByRole('button', { name: 'Import port 5432' }).waitFor();
    assert.deepEqual((await called(page, /edit/)).map((call) => call.args[0]), [
      { edit: 'add-import', remote: 'home-server', remote_port: 5432, listen: '127.0.0.1:5432', half_close: 'hold' },
      { edit: 'delete-import', remote: 'home-server', listen: '127.0.0.1:5432' },
    ]);
  }));

await test('a remote and its only port by an invite: two clicks', () =>
  withPage({}, async (page) => {
    await show(page, 'one-offer');
    const hand = clicking(page);
    await page.evaluate((text) => {
      const clipboardData = new DataTransfer();
      clipboardData.setData('text/plain', text);
      document.body.dispatchEvent(new ClipboardEvent('paste', { bubbles: true, cancelable: true, clipboardData }));
    }, `ormesh1${'q'.repeat(120)}`);
    await page.getByRole('dialog', { name: 'Add a remote' }).waitFor();
    assert.equal(await page.getByLabel('Name', { exact: true }).inputValue(), 'remote-2');
    await hand.click('Add remote');
    await page.getByRole('dialog', { name: 'Import from remote-2' }).waitFor();
    await hand.click('Import');
    await page.getByRole('dialog').waitFor({ state: 'detached' });
    assert.equal(hand.made(), 2);
    assert.deepEqual(JSON.parse(JSON.stringify((await called(page, /edit/))[0]?.args)), [{ edit: 'add-import', remote: 'remote-2', remote_port: 8123, listen: '127.0.0.1:8123', half_close: 'hold' }]);
  }));

await test('what exists is edited: names, ports, targets and addresses, each taken back by a button', () =>
  withPage({}, async (page) => {
    const edits = async () => JSON.parse(JSON.stringify((await called(page, /edit/)).map((call) => call.args[0])));
    const back = async () => {
      await page.getByRole('button', { name: 'Undo' }).click();
      await page.getByText('Undone: it is as it was.').waitFor();
    };
    await show(page, 'mesh-open');
    await page.getByRole('button', { name: 'Rename' }).first().click();
    await page.getByRole('dialog', { name: 'Rename anna-laptop' }).waitFor();
    // It is called that.
    await page.locator('dialog button[type=submit]:disabled').waitFor();
    await page.keyboard.type('!!!');
    await page.getByText("A name starts with a letter, not with '!'.").waitFor();
    await page.getByRole('textbox', { name: 'Name' }).fill('');
    await page.getByRole('textbox', { name: 'Name' }).pressSequentially('anna phone');
    await page.keyboard.press('Enter');
    await page.locator('summary', { hasText: 'anna-phone' }).waitFor();
    await back();
    await page.locator('summary', { hasText: 'anna-laptop' }).waitFor();
    assert.deepEqual(await edits(), [
      { edit: 'rename-client', name: 'anna-laptop', to: 'anna-phone' },
      { edit: 'rename-client', name: 'anna-phone', to: 'anna-laptop' },
    ]);

    await show(page, 'mesh');
    await page.getByRole('button', { name: 'Rename the request for studio' }).click();
    await page.getByRole('textbox', { name: 'Name' }).fill('atelier');
    await page.keyboard.press('Enter');
    await page.getByRole('region', { name: 'Request for atelier' }).waitFor();
    await back();
    await page.getByRole('region', { name: 'Request for studio' }).waitFor();
    assert.deepEqual((await edits())[0], { edit: 'rename-remote', name: 'studio', to: 'atelier' });

    await show(page, 'mesh');
    await page.getByRole('button', { name: 'Change port 80' }).click();
    await page.getByLabel('Port for clients').fill('8080');
    await page.keyboard.press('Enter');
    await page.getByText('Clients reach port 80 as port 8080 now.').waitFor();
    await back();
    assert.deepEqual((await edits())[0], { edit: 'move-export', port: 80, allow_lan: false, to: 8080 });
    await page.getByRole('button', { name: 'Change port 80' }).click();
    await page.getByRole('textbox', { name: 'Leads to' }).fill('192.168.1.10:3000');
    await page.getByText('so share only what they may see').waitFor();
    await page.keyboard.press('Enter');
    await page.getByText('Port 80 leads elsewhere now.').waitFor();
    assert.deepEqual((await edits())[2], { edit: 'move-export', port: 80, allow_lan: true, target: '192.168.1.10:3000' });

    await show(page, 'mesh-import-open');
    await page.getByRole('button', { name: 'Change import at 127.0.0.1:10022' }).click();
    await page.getByLabel('Address here').fill('127.0.0.1:10023');
    await page.getByRole('checkbox', { name: 'Only for me' }).uncheck();
    await page.getByRole('button', { name: 'Save' }).click();
    await page.getByText('It listens at 127.0.0.1:10023 now.').waitFor();
    await back();
    assert.deepEqual((await edits())[0], { edit: 'set-import', listen: '127.0.0.1:10022', to: '127.0.0.1:10023', users: 'all' });
  }));

await test('an import that the remote does not export says so, and is not green', () =>
  withPage({}, async (page) => {
    await show(page, 'not-exported');
    const row = page.locator('li', { hasText: '127.0.0.1:10022' });
    await row.getByText('Not exported').waitFor();
    assert.equal(await row.locator('.tone-good').count(), 0);
  }));

await test('an invite with a key is copied as a secret and says when the clipboard is cleared', () =>
  withPage({}, async (page) => {
    await show(page, 'invite-secret');
    await page.getByText(/^Cleared from the clipboard in \d+ s$/).waitFor();
    const calls = await page.evaluate(() => window.gallery.backend?.calls.map((call) => call.command).filter((one) => /copy/i.test(one)));
    assert.deepEqual(calls, ['copySecret']);
  }));

await test('nothing green is said of an invite that nobody has used, nor by the head while something needs a person', () =>
  withPage({}, async (page) => {
    await show(page, 'invite-unused');
    assert.equal(await page.locator('section[aria-labelledby=clients] li').getByText('Invite not used yet').count(), 2);
    assert.equal(await page.locator('section[aria-labelledby=clients] li .tone-good').count(), 0);
    const head = (/** @type {string} */ tone) => page.locator(`header h1 .tone-${tone}`);
    assert.equal(await head('good').innerText(), 'Online');
    // A client that fails, with no problem of its own; a problem.
    for (const state of ['mesh', 'locked']) {
      await show(page, state);
      assert.equal(await head('busy').innerText(), 'Online, with a problem');
    }
  }));

await test('an agent that answers nothing is said to, with what was last known of it, and is restarted by a button', () =>
  withPage({}, async (page) => {
    await show(page, 'agent-silent');
    assert.equal(await page.locator('header h1 .tone-bad').innerText(), 'Not answering');
    await page.getByText('Nothing was heard of the agent for 1 min.').waitFor();
    assert.equal(await page.locator('main .tone-good').count(), 0, 'nothing is said to be well');
    assert.ok((await page.getByText('when last heard').count()) > 3);
    assert.equal(await page.getByRole('button', { name: 'Pause' }).isDisabled(), true);
    await page.getByRole('button', { name: 'Restart the agent' }).click();
    await page.getByRole('button', { name: 'Open the log' }).click();
    const calls = await page.evaluate(() => window.gallery.backend?.calls.map((call) => call.command).filter((one) => /Restart|open/.test(one)));
    assert.deepEqual(calls, ['agentRestart', 'openLog']);
  }));

await test('a broken configuration is told once, with a button that opens it, whether an agent runs or not', () =>
  withPage({}, async (page) => {
    for (const state of ['config-broken', 'no-config']) {
      await show(page, state);
      assert.equal(await page.getByText('unknown key').count(), 1);
      await page.getByRole('button', { name: 'Open the configuration' }).click();
      await page.waitForFunction(() => window.gallery.backend?.calls.some((call) => call.command === 'openConfig'));
    }
    await page.keyboard.press('Control+3');
    await page.getByText('The settings are shown when the configuration can be read.').waitFor();
    assert.equal(await page.getByText('unknown key').count(), 1);
  }));

await test("the web view's own menu is for text alone", () =>
  withPage({}, async (page) => {
    await show(page, 'add-export');
    const stopped = (/** @type {string} */ selector) =>
      page.locator(selector).first().evaluate((at) => !at.dispatchEvent(new MouseEvent('contextmenu', { bubbles: true, cancelable: true })));
    assert.equal(await stopped('main'), true);
    assert.equal(await stopped('dialog .button'), true);
    assert.equal(await stopped('dialog input[type=radio]'), true);
    assert.equal(await stopped('dialog input[type=text]'), false);
  }));

await test('what was taken away is said to be, and comes back by a button where it can', () =>
  withPage({}, async (page) => {
    await show(page, 'mesh');
    const rows = page.locator('section[aria-labelledby=exports] li');
    const before = await rows.count();
    await page.getByRole('button', { name: 'Stop exporting port 80' }).click();
    await page.getByRole('button', { name: 'Stop sharing' }).click();
    await page.getByText('Port 80 is no longer shared.').waitFor();
    await page.screenshot({ path: join(PICTURES, 'undo-light.png') });
    assert.equal(await rows.count(), before - 1);
    await page.getByRole('button', { name: 'Undo' }).click();
    await page.getByText('Undone: it is as it was.').waitFor();
    assert.equal(await rows.count(), before);
  }));

await test('where there is no tray the window says before it closes what goes on, once, and a setting changes it', () =>
  withPage({}, async (page) => {
    const calls = () => page.evaluate(() => window.gallery.backend?.calls.filter((call) => /losing|closeWindow/.test(call.command)).map((call) => [call.command, ...call.args]));
    await show(page, 'settings-no-tray');
    await page.getByLabel('When the window is closed').selectOption('quit');
    await page.evaluate(() => window.gallery.backend?.closing());
    await page.getByRole('dialog', { name: 'Close the window?' }).waitFor();
    await page.keyboard.press('Escape');
    await page.locator('dialog').waitFor({ state: 'detached' });
    await page.evaluate(() => window.gallery.backend?.closing());
    await page.getByText('To come back, start ormesh again.').waitFor();
    await page.keyboard.press('Enter');
    await page.locator('dialog').waitFor({ state: 'detached' });
    assert.deepEqual(await calls(), [
      ['setClosing', 'quit'],
      ['closeWindow', 'ask', false],
      ['closeWindow', 'stay', true],
    ]);
    await show(page, 'settings');
    assert.equal(await page.getByLabel('When the window is closed').count(), 0);
  }));

await test('the window is made larger and smaller by keys, in a dialog too', () =>
  withPage({}, async (page) => {
    await show(page, 'add-export');
    for (const key of ['Control++', 'Control+=', 'Control+-', 'Control+0']) await page.keyboard.press(key);
    await page.waitForFunction(() => window.gallery.backend?.calls.filter((call) => call.command === 'setZoom').length === 4);
    const steps = await page.evaluate(() => window.gallery.backend?.calls.filter((call) => call.command === 'setZoom').map((call) => call.args[0]));
    assert.deepEqual(steps, [1, 1, -1, 0]);
    await page.getByText('100 %').waitFor();
  }));

await test('in a small window, or with large text, the head leaves the room to the page and breaks no word', () =>
  withPage({}, async (page) => {
    for (const [state, width, height, text] of /** @type {[string, number, number, string][]} */ ([
      ['connecting', 480, 600, '200%'],
      ['connecting', 240, 300, ''],
      ['mesh', 380, 480, ''],
      ['mesh', 304, 384, ''],
    ])) {
      await show(page, state);
      await page.setViewportSize({ width, height });
      await page.evaluate((text) => (document.documentElement.style.fontSize = text), text);
      const head = await page.evaluate(() => {
        const box = (/** @type {string} */ what) => /** @type {Element} */ (document.querySelector(what)).getBoundingClientRect();
        const [all, word, pause] = [box('header'), box('header .word'), box('header .pause')];
        const apart = pause.left >= word.right || pause.top >= word.bottom || pause.bottom <= word.top;
        return { share: all.height / innerHeight, lines: word.height / parseFloat(getComputedStyle(document.documentElement).fontSize), apart };
      });
      const where = `${state} at ${width} × ${height} ${text}`;
      assert.ok(head.share <= 1 / 3, `${where}: the head takes ${head.share.toFixed(2)}`);
      // A state of several words may take a second line.
      assert.ok(head.lines < (state === 'mesh' ? 3 : 2), `${where}: the word is broken`);
      assert.ok(head.apart, `${where}: the word is covered`);
      assert.equal(await overflow(page), 0, where);
    }
    // Who only reaches others sees that first.
    await show(page, 'remotes-only');
    await page.setViewportSize({ width: 380, height: 480 });
    const top = await page.getByRole('heading', { name: 'Remotes' }).evaluate((at) => at.getBoundingClientRect().top);
    assert.ok(top < 240, `the remotes begin at ${top}`);
  }));

await test('an invite or a request that is pasted or dropped anywhere opens what it is for, and nothing else does', () =>
  withPage({}, async (page) => {
    const give = (/** @type {'paste' | 'drop'} */ how, /** @type {string} */ text) =>
      page.evaluate(
        ([how, text]) => {
          const data = new DataTransfer();
          data.setData('text/plain', /** @type {string} */ (text));
          const options = { bubbles: true, cancelable: true };
          document.body.dispatchEvent(how === 'paste' ? new ClipboardEvent('paste', { ...options, clipboardData: data }) : new DragEvent('drop', { ...options, dataTransfer: data }));
        },
        [how, text],
      );
    const invite = `ormesh1${'q'.repeat(120)}`;
    for (const how of /** @type {const} */ (['paste', 'drop'])) {
      await show(page, 'mesh');
      for (const text of ['', 'hello', '!!!', 'ormesh', 'x'.repeat(100_000)]) await give(how, text);
      assert.equal(await page.locator('dialog').count(), 0);
      await give(how, `Hi,\n  here it is: ${invite}\n`);
      // Twice is as once.
      await give(how, invite);
      await page.getByRole('dialog', { name: 'Add a remote' }).waitFor();
      assert.equal(await page.locator('dialog').count(), 1);
      assert.match(await page.getByLabel('Invite', { exact: true }).inputValue(), /^ormesh1q+$/);
      // What a person types as a name becomes one, in place of the one that is suggested.
      assert.equal(await page.getByLabel('Name', { exact: true }).inputValue(), 'remote');
      await page.getByLabel('Name', { exact: true }).fill('');
      await page.getByLabel('Name', { exact: true }).pressSequentially('bob laptop');
      assert.equal(await page.getByLabel('Name', { exact: true }).inputValue(), 'bob-laptop');
      await page.keyboard.press('Escape');
      await page.locator('dialog').waitFor({ state: 'detached' });
      await give(how, 'ormeshreq1qypz9x8gf2tvdw0');
      await page.getByRole('dialog', { name: 'Let somebody in' }).waitFor();
      assert.equal(await page.getByRole('textbox', { name: 'Their request' }).inputValue(), 'ormeshreq1qypz9x8gf2tvdw0');
    }
    await show(page, 'welcome');
    await page.getByRole('button', { name: 'I have an invite' }).click();
    await page.getByLabel('Invite', { exact: true }).waitFor();
  }));

await test('a picture of an invite is as the invite, and one of anything else, or another file, is said to be none', () =>
  withPage({}, async (page) => {
    const drop = (/** @type {string} */ type, /** @type {string} */ text) =>
      page.evaluate(
        async ([type, text]) => {
          /** @type {Blob | null} */
          let blob = new Blob([text ?? '']);
          if (type === 'image/png') {
            const canvas = document.createElement('canvas');
            [canvas.width, canvas.height] = [900, 30];
            blob = await new Promise((done) => canvas.toBlob(done));
          }
          const data = new DataTransfer();
          data.items.add(new File([/** @type {Blob} */ (blob)], 'a', { type }));
          document.body.dispatchEvent(new DragEvent('drop', { bubbles: true, cancelable: true, dataTransfer: data }));
        },
        [type, text],
      );
    await show(page, 'picture-with-invite');
    await drop('image/png', '');
    await page.getByRole('dialog', { name: 'Add a remote' }).waitFor();
    assert.match(await page.getByLabel('Invite', { exact: true }).inputValue(), /^ORMESH1Q/);
    // Twice is as once, also where its dialog is open.
    await drop('image/png', '');
    await page.waitForFunction(() => window.gallery.backend?.calls.filter((call) => call.command === 'readQr').length === 2);
    assert.equal(await page.locator('dialog').count(), 1);
    const [first] = await called(page, /readQr/);
    const { width, luma } = /** @type {any} */ (first?.args[0]);
    assert.deepEqual([width, Buffer.from(luma, 'base64').length], [700, 700 * 23]);

    await show(page, 'mesh');
    await drop('image/png', '');
    await page.getByText('No invite was found in that picture.').waitFor();
    await drop('image/png-that-is-none', 'x');
    await page.getByText('No invite was found in that picture.').waitFor();
    await drop('text/plain', 'x'.repeat(60_000));
    await page.getByText('No invite was found in that file.').waitFor();
    await drop('video/mp4', 'ormesh1q'.repeat(60_000));
    assert.equal(await page.locator('dialog').count(), 0);
    await drop('text/plain', `Hi, ormesh1${'q'.repeat(120)}`);
    await page.getByRole('dialog', { name: 'Add a remote' }).waitFor();
  }));

await test('a problem that stands says when it began', () =>
  withPage({}, async (page) => {
    await show(page, 'client-full');
    await page.getByText('Began 5 min ago.').waitFor();
  }));

await test('revoking asks first, from the harmless button, and says what will break', () =>
  withPage({}, async (page) => {
    await show(page, 'mesh-open');
    await page.getByRole('button', { name: 'Revoke' }).first().click();
    await page.getByText('its 2 open sessions end').waitFor();
    assert.equal(await page.evaluate(() => document.activeElement?.textContent?.trim()), 'Cancel');
    assert.equal(await page.evaluate(() => window.gallery.backend?.calls.some((call) => call.command === 'clientDelete')), false);
    await page.getByRole('dialog').getByRole('button', { name: 'Revoke' }).click();
    await page.locator('.toast.tone-good', { hasText: 'Revoked anna-laptop' }).waitFor();
    assert.equal(await page.locator('dialog').count(), 0);
  }));

await test('a lost configuration is written back by its button, and its loss accepted only after a question', () =>
  withPage({}, async (page) => {
    const called = () => page.evaluate(() => window.gallery.backend?.calls.map((call) => call.command).filter((command) => command.startsWith('config')));
    await show(page, 'config-lost');
    await page.getByRole('button', { name: 'Write it back' }).click();
    await page.waitForFunction(() => window.gallery.backend?.calls.some((call) => call.command === 'configRestore'));
    await page.getByRole('button', { name: 'Accept the loss' }).click();
    await page.getByRole('dialog').getByRole('button', { name: 'Accept the loss' }).waitFor();
    assert.deepEqual(await called(), ['configRestore']);
    await page.getByRole('dialog').getByRole('button', { name: 'Accept the loss' }).click();
    await page.waitForFunction(() => window.gallery.backend?.calls.some((call) => call.command === 'configAccept'));
  }));

await test('a locked keyring has its button, which has the password asked for, and nothing else does', () =>
  withPage({}, async (page) => {
    const called = () => page.evaluate(() => window.gallery.backend?.calls.filter((call) => call.command === 'secretsUnlock').length);
    for (const state of ['locked', 'settings-locked']) {
      await show(page, state);
      const button = page.getByRole('button', { name: 'Type your password' });
      await button.waitFor();
      assert.equal(await called(), 0);
      await button.click();
      await page.waitForFunction(() => window.gallery.backend?.calls.at(-1)?.command === 'secretsStatus');
      assert.equal(await called(), 1);
    }
  }));

await test('a store that can only be read is said to be so, and one that can not be read is not', () =>
  withPage({}, async (page) => {
    await show(page, 'settings-full-disk');
    await page.getByText('to read only').waitFor();
    assert.equal(await page.getByText('No space left on device').count(), 1);
    await show(page, 'settings-locked');
    await page.getByText('Usable').waitFor();
    assert.equal(await page.getByText('to read only').count(), 0);
    await show(page, 'settings');
    await page.getByText('all 7 are there').waitFor();
    assert.equal(await page.getByText('Usable').count(), 0);
  }));

await test('bridges are checked as they are typed, and saved as lines', () =>
  withPage({}, async (page) => {
    await show(page, 'settings-bridges-bad');
    await page.getByText('Line 1 is not a bridge').waitFor();
    const save = page.getByRole('button', { name: 'Use these bridges' });
    assert.equal(await save.isDisabled(), true);
    await page.getByLabel('Bridges').fill('  obfs4 192.0.2.7:443 0123456789ABCDEF0123456789ABCDEF01234567 cert=x iat-mode=0 \n\n198.51.100.4:9001\n');
    await page.getByText('2 bridges, by obfs4').waitFor();
    await save.click();
    const calls = await page.evaluate(() => window.gallery.backend?.calls.filter((call) => call.command === 'setSetting'));
    const lines = 'obfs4 192.0.2.7:443 0123456789ABCDEF0123456789ABCDEF01234567 cert=x iat-mode=0\n198.51.100.4:9001';
    assert.deepEqual(calls, [{ command: 'setSetting', args: ['agent.bridges', lines] }]);
  }));

await test('an import can be for its user alone, and says so of other machines', () =>
  withPage({}, async (page) => {
    await show(page, 'add-import-mine');
    await page.getByText('Connections from other machines are refused.').waitFor();
    await page.getByRole('button', { name: 'Import', exact: true }).click();
    await page.locator('dialog').waitFor({ state: 'detached' });
    const edits = await page.evaluate(() => window.gallery.backend?.calls.filter((call) => call.command === 'edit').map((call) => call.args[0]));
    const edit = { edit: 'add-import', remote: 'home-server', remote_port: 22, listen: '0.0.0.0:10022', half_close: 'hold', users: 'me' };
    assert.deepEqual(edits, [edit]);
  }));

await test('a SOCKS address that others reach is noted, and can be closed to them', () =>
  withPage({}, async (page) => {
    await show(page, 'settings-open');
    await page.getByText('Everyone who can reach this machine can connect to the SOCKS address 0.0.0.0:9250').waitFor();
    await page.getByText('Everyone who can reach this machine can connect to the SOCKS address 192.168.1.2:9250').waitFor();
    await page.getByRole('switch', { name: 'Only for me' }).check();
    const calls = await page.evaluate(() => window.gallery.backend?.calls.filter((call) => call.command === 'setSetting').map((call) => call.args));
    assert.deepEqual(calls, [['agent.socks-users', 'me']]);
  }));

await test('an address in use is offered another that is free, and what is not good is told once and never with a tick', () =>
  withPage({}, async (page) => {
    await show(page, 'settings');
    const address = page.getByRole('textbox', { name: 'Address', exact: true });
    const save = page.getByRole('button', { name: 'Save', exact: true });
    await address.fill('banana');
    await page.getByText('is not an address and port').waitFor();
    assert.equal(await save.isDisabled(), true);
    await address.fill('127.0.0.1:1080');
    await page.getByText('127.0.0.1:1080 is in use now').waitFor();
    await page.getByRole('button', { name: 'Use 127.0.0.1:1081' }).click();
    assert.equal(await address.inputValue(), '127.0.0.1:1081');
    await save.click();
    await page.locator('.toast.tone-good', { hasText: 'Saved' }).waitFor();
    await page.locator('.toast button').click();
    await address.fill('0.0.0.0:9250');
    await save.click();
    await page.getByRole('status').getByText('Connections to 0.0.0.0:9250 from other machines are refused').waitFor();
    await page.screenshot({ path: join(PICTURES, 'settings-noted-light.png') });
    assert.equal(await page.locator('.toast').count(), 0);

    await show(page, 'add-import-used');
    await page.getByText('127.0.0.1:3128 is in use by another program').waitFor();
    await page.getByRole('button', { name: 'Use 127.0.0.1:3129' }).click();
    assert.equal(await page.getByLabel('Address here').inputValue(), '127.0.0.1:3129');
    await page.getByLabel('Address here').fill('127.0.0.1:3128');
    await page.getByRole('button', { name: 'Import', exact: true }).click();
    await page.locator('dialog').waitFor({ state: 'detached' });
    assert.equal(await page.locator('.toast').count(), 0);

    // A note is no tick.
    await show(page, 'export-access');
    await page.getByLabel('only these').check();
    await page.getByRole('button', { name: 'Save' }).click();
    await page.locator('.toast.tone-quiet', { hasText: 'can now reach port' }).waitFor();
  }));

await test('a bridge that does not answer is named, and leads to where it is changed', () =>
  withPage({}, async (page) => {
    await show(page, 'dead-bridge');
    await page.getByText('It is obfs4 192.0.2.7:443; bridges.torproject.org has others.').waitFor();
    assert.equal(await page.getByText('0123456789ABCDEF').count(), 0);
    await page.getByRole('button', { name: 'Change the bridge' }).click();
    await page.waitForFunction(() => document.activeElement?.getAttribute('data-anchor') === 'bridges');
  }));

await test('a blocked network leads to the field for bridges', () =>
  withPage({}, async (page) => {
    await show(page, 'doctor-network');
    await page.getByRole('button', { name: 'Use a bridge' }).click();
    await page.waitForFunction(() => document.activeElement?.getAttribute('data-anchor') === 'bridges');
  }));

await test('a copied report names layers, and neither addresses nor invites', () =>
  withPage({}, async (page) => {
    await show(page, 'doctor-leaky');
    await page.getByRole('button', { name: 'Copy report' }).click();
    await page.getByText('Report copied').waitFor();
    const text = await page.evaluate(() => String(window.gallery.backend?.calls.find((call) => call.command === 'copy')?.args[0]));
    assert.match(text, /^FAILS {2}The key: /m);
    assert.match(text, /^- {6}The port: /m);
    assert.doesNotMatch(text, /[a-z2-7]{56}|ormesh1q|anna|[0-9A-F]{40}|cert=[^<]|192\.0\.2/);
  }));

await test('a hundred clients are searched at once, by keyboard alone', () =>
  withPage({}, async (page) => {
    await show(page, 'many');
    assert.ok((await page.locator('summary').count()) < 110, 'a long list is not shown whole');
    await page.keyboard.press('Control+f');
    await page.keyboard.type('barn phone');
    await page.getByText(/^\d+ of 130$/).waitFor();
    const shown = await page.locator('section[aria-labelledby=clients] summary strong').allTextContents();
    assert.ok(shown.length > 0 && shown.every((name) => /barn-phone/.test(name)), shown.join());
    await page.keyboard.press('Escape');
    await page.getByRole('button', { name: 'Show all 100 clients' }).click();
    assert.equal(await page.locator('section[aria-labelledby=clients] summary').count(), 100);
    const took = await page.evaluate(async () => {
      const begin = performance.now();
      const view = await window.gallery.backend?.state();
      window.gallery.backend?.push(structuredClone(view));
      await new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)));
      return performance.now() - begin;
    });
    console.log(`      a status of 100 clients and 200 imports is shown in ${Math.round(took)} ms`);
    assert.ok(took < 1000, `a status of 100 clients and 200 imports took ${Math.round(took)} ms to show`);
  }));

await test('an answer to a ping goes when the state of its remote changes after it', () =>
  withPage({}, async (page) => {
    await show(page, 'mesh');
    const card = page.locator('section[aria-label="Remote home-server"]');
    const answer = card.getByText(/^Answered in/);
    /** @param {object} state */
    const become = (state) =>
      page.evaluate(async (state) => {
        /** @type {any} */
        const view = structuredClone(await window.gallery.backend?.state());
        const named = (/** @type {{ name: string }} */ one) => one.name === 'home-server';
        view.status.remotes.find(named).state = state;
        window.gallery.backend?.push(view);
      }, state);
    // The old state may be told for a moment after the answer.
    await become({ is: 'unknown' });
    await card.getByRole('button', { name: 'Ping home-server' }).click();
    await answer.waitFor();
    await become({ is: 'unknown' });
    await become({ is: 'reachable', round_trip: 344 });
    await card.getByText('344 ms round trip').waitFor();
    assert.equal(await answer.count(), 1);
    await become({ is: 'unreachable', why: 'it is gone' });
    await card.getByText('It is gone').waitFor();
    assert.equal(await answer.count(), 0);
  }));

await test('pages have their keys, and a dialog has none of them', () =>
  withPage({}, async (page) => {
    await show(page, 'mesh');
    await page.keyboard.press('Control+3');
    await page.getByRole('heading', { name: 'Settings' }).waitFor();
    await page.keyboard.press('Control+1');
    await page.getByRole('button', { name: 'Add export' }).click();
    await page.keyboard.press('Control+2');
    assert.equal(await page.getByRole('dialog').count(), 1);
    assert.equal(await page.getByRole('heading', { name: 'Diagnostics' }).count(), 0);
  }));

await test('status updates move nothing', () =>
  withPage({}, async (page) => {
    await show(page, 'mesh');
    const places = () => page.$$eval('main .button, main li, main h3', (all) => all.map((one) => Object.values(one.getBoundingClientRect().toJSON()).map(Math.round).join()));
    const before = await places();
    const drawn = () => page.$$eval('.spark polyline', (lines) => lines.map((line) => line.getAttribute('points')).join());
    const first = await drawn();
    for (let turn = 0; turn < 60 && (await drawn()) === first; turn += 1) await page.waitForTimeout(250);
    assert.notEqual(await drawn(), first, 'the charts go on');
    assert.deepEqual(await places(), before);
  }));

await test('the real window speaks the contract: commands, arguments and the state event', () =>
  withPage({ permissions: [] }, async (page) => {
    // Tauri's side of the IPC as the web view sees it (@tauri-apps/api 2: core.ts and event.ts).
    await page.addInitScript(() => {
      /** @type {any[]} */
      const calls = [];
      /** @type {Map<number, (value: any) => void>} */
      const callbacks = new Map();
      const status = { version: 1, agent: null, exports: [], clients: [], remotes: [], requests: [], problems: [] };
      Object.assign(window, {
        calls,
        /** @param {any} payload */
        emit: (payload) => callbacks.forEach((callback) => callback({ event: 'state', id: 1, payload })),
        __TAURI_EVENT_PLUGIN_INTERNALS__: { unregisterListener() {} },
        __TAURI_INTERNALS__: {
          /** @param {(value: any) => void} callback */
          transformCallback(callback) {
            callbacks.set(callbacks.size + 1, callback);
            return callbacks.size;
          },
          /** @param {string} command @param {any} args */
          async invoke(command, args) {
            calls.push([command, args]);
            if (command === 'state') return { agent: 'running', status, problem: null };
            if (command === 'served') return [];
            if (command === 'check') return { ok: true, detail: null };
            if (command === 'edit') throw { kind: 'refused', subject: '', message: 'port 22 is exported already', hint: 'choose another port' };
            return 1;
          },
        },
      });
    });
    await page.goto(real.url);
    await page.getByRole('button', { name: 'Share a port' }).click();
    await page.getByLabel('Port', { exact: true }).fill('22');
    await page.getByRole('button', { name: 'Share', exact: true }).click();
    await page.getByText('Port 22 is exported already.').waitFor();
    const calls = await page.evaluate(() => /** @type {any} */ (window).calls);
    const named = (/** @type {string} */ name) => calls.filter((/** @type {any} */ call) => call[0] === name).map((/** @type {any} */ call) => call[1]);
    assert.equal(named('plugin:event|listen')[0].event, 'state');
    assert.deepEqual(named('check')[0], { what: 'target', text: '22' });
    assert.deepEqual(named('edit')[0], { edit: { edit: 'add-export', target: '22', port: null, allow_lan: false } });
    await page.evaluate(() => /** @type {any} */ (window).emit({ agent: 'other-version', status: null, problem: null }));
    await page.getByText('Needs a restart').waitFor();
  }));

await types;
await chrome.close();
gallery.close();
real.close();
console.log(`${passed} passed, ${failed} failed`);
process.exitCode = failed === 0 ? 0 : 1;
