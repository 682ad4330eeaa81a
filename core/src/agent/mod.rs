//! Room 8, agent: `run` is the agent; `ask` is how a shell has something done, by a running agent or, without one, by the same code here.

