/* The figures beside the chart: how fast answers came, and how much was heard. */

import { RATE } from "./audio/pcm.js";
import { Latencies } from "./latencies.js";

/** Writes into the elements cl50, cl99, heard, speed and speed-figure, which `at` returns by their ids. */
export class Figures {
  #at;
  #latencies = new Latencies();
  #samples = 0;

  constructor(at) {
    this.#at = at;
  }

  /** Count samples that were heard. */
  hear(count) {
    this.#samples += count;
  }

  /** Show the figures after an answer: its latency in ms, or how many times real time the stream is. */
  answer(latency, speed = null) {
    if (latency !== null) this.#latencies.add(latency);
    this.#at("cl50").textContent = milliseconds(this.#latencies.percentile(50));
    this.#at("cl99").textContent = milliseconds(this.#latencies.percentile(99));
    const seconds = Math.floor(this.#samples / RATE);
    this.#at("heard").textContent = `${Math.floor(seconds / 60)}:${String(seconds % 60).padStart(2, "0")}`;
    this.#at("speed-figure").hidden = speed === null;
    if (speed !== null) this.#at("speed").textContent = `${speed.toFixed(speed < 10 ? 1 : 0)} × real time`;
  }

  /** Forget everything. */
  clear() {
    this.#latencies = new Latencies();
    this.#samples = 0;
    this.answer(null);
  }
}

function milliseconds(value) {
  return Number.isNaN(value) ? "–" : `${value.toFixed(value < 100 ? 1 : 0)} ms`;
}
