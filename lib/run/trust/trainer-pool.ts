/** Trainers that replay, by shard: made when first needed, and each used by one at a time, since whoever uses it overwrites its state. */
import type { Trainer } from "../../trainer/trainer.js";

/** A trainer of a shard as the run starts it; `own` says that it is to do what this peer itself does. */
export type MakeTrainer = (shard: number, own: boolean) => Promise<Trainer>;

interface Place {
  readonly trainer: Promise<Trainer>;
  /** Settles when whoever has it is done. */
  free: Promise<unknown>;
}

export class TrainerPool {
  readonly #make: MakeTrainer;
  readonly #places = new Map<string, Place>();

  constructor(make: MakeTrainer) {
    this.#make = make;
  }

  /** Does work with the trainer of a shard once nobody else has it. */
  use<Result>(shard: number, own: boolean, work: (trainer: Trainer) => Promise<Result>): Promise<Result> {
    const name = `${shard} ${own}`;
    let place = this.#places.get(name);
    if (place === undefined) {
      place = { trainer: this.#make(shard, own), free: Promise.resolve() };
      this.#places.set(name, place);
      // The next who needs it tries again.
      place.trainer.catch(() => this.#places.delete(name));
    }
    const { trainer } = place;
    const done = place.free.then(async () => work(await trainer));
    place.free = done.catch(() => {});
    return done;
  }

  /** Waits for whoever has one. */
  async close(): Promise<void> {
    for (const { trainer, free } of this.#places.values()) {
      await free;
      await trainer.then((made) => made.close()).catch(() => {});
    }
    this.#places.clear();
  }
}
