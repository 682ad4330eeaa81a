// A field that is checked while it is typed: one check at a time, a little after the last key, and only the latest answer counts.

import { asProblem, type Backend } from './backend';
import type { Checkable } from './bindings/shell';
import type { Problem } from './bindings';

/** How long after a key the check is made, in milliseconds. */
const PAUSE = 220;

export class Check {
  /** `empty`: nothing to check · `typing`: not checked yet. */
  is = $state<'empty' | 'typing' | 'good' | 'bad'>('empty');
  detail = $state<string | null>(null);
  careful = $state(false);
  instead = $state<string | null>(null);
  problem = $state<Problem | null>(null);
  #turn = 0;
  #now: (() => Promise<void>) | null = null;

  /** Checks what was typed; to be called from an effect on the text. Returns what drops the answer. */
  follow(backend: Pick<Backend, 'check'>, what: Checkable, text: string): () => void {
    const turn = ++this.#turn;
    this.#now = null;
    if (text.trim() === '') {
      this.is = 'empty';
      this.detail = null;
      this.problem = null;
      return () => {};
    }
    this.is = 'typing';
    const ask = async () => {
      try {
        const { detail, careful, instead } = await backend.check(what, text.trim());
        if (turn !== this.#turn) return;
        this.is = 'good';
        this.detail = detail;
        this.careful = careful ?? false;
        this.instead = instead ?? null;
        this.problem = null;
      } catch (error) {
        if (turn !== this.#turn) return;
        this.is = 'bad';
        this.detail = null;
        this.problem = asProblem(error);
      }
    };
    let asked: Promise<void> | null = null;
    const now = () => {
      clearTimeout(timer);
      return (asked ??= ask());
    };
    const timer = setTimeout(now, PAUSE);
    this.#now = now;
    return () => clearTimeout(timer);
  }

  /** Makes the check at once, and resolves when it has answered. */
  async settle(): Promise<void> {
    await this.#now?.();
  }
}
