// A form whose fields are checked while they are typed: what is submitted before a check has answered waits for it.

import { getContext, setContext, tick } from 'svelte';

/** What a form wants of each of its fields. */
export interface Checked {
  /** Whether a check has not answered yet. */
  readonly pending: boolean;
  /** Whether it can be submitted as it is. */
  readonly good: boolean;
  /** Makes the check at once, and resolves when it has answered. */
  settle(): Promise<void>;
  /** Says what is wrong with it, and takes the focus. */
  complain(): void;
}

const KEY = Symbol('form');

export class Form {
  #fields = $state.raw<Checked[]>([]);
  #settling = false;

  /** Whether a field waits for its check: whether the form is ready is not known yet. */
  get pending(): boolean {
    return this.#fields.some((field) => field.pending);
  }

  /** A field that is there until the function is called. */
  add(field: Checked): () => void {
    this.#fields = [...this.#fields, field];
    return () => (this.#fields = this.#fields.filter((one) => one !== field));
  }

  /** Goes on when every field has been checked and the form is ready; else the first field that is not good says so. */
  async submit(ready: () => boolean, go: () => void) {
    if (this.#settling) return;
    this.#settling = true;
    try {
      // What was typed last reaches the fields first.
      await tick();
      while (this.pending) await Promise.all(this.#fields.filter((field) => field.pending).map((field) => field.settle())).then(tick);
      await tick();
    } finally {
      this.#settling = false;
    }
    if (ready()) go();
    else this.#fields.find((field) => !field.good)?.complain();
  }
}

export const provideForm = (): Form => setContext(KEY, new Form());
export const form = (): Form | undefined => getContext<Form | undefined>(KEY);
