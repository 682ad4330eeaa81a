// One thing being done at a time: whether it runs, and what went wrong with it.

import { asProblem } from './backend';
import type { Problem } from './bindings';

export class Job {
  busy = $state(false);
  problem = $state<Problem | null>(null);

  /** Does it, unless it is being done; true when it succeeded. */
  async run(work: () => Promise<unknown>): Promise<boolean> {
    if (this.busy) return false;
    this.busy = true;
    this.problem = null;
    try {
      await work();
      return true;
    } catch (error) {
      this.problem = asProblem(error);
      return false;
    } finally {
      this.busy = false;
    }
  }
}
