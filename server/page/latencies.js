/* Compute latencies so far, ms: from sending the audio that completes a chunk of the model to its response. */

/** Values in order, for percentiles at any time. */
export class Latencies {
  #ordered = [];

  add(value) {
    let [low, high] = [0, this.#ordered.length];
    while (low < high) {
      const middle = (low + high) >> 1;
      if (this.#ordered[middle] <= value) low = middle + 1;
      else high = middle;
    }
    this.#ordered.splice(low, 0, value);
  }

  /** Return a percentile; NaN where there are no values. */
  percentile(percent) {
    const { length } = this.#ordered;
    return length ? this.#ordered[Math.min(Math.floor((length * percent) / 100), length - 1)] : NaN;
  }
}
