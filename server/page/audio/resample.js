/* A resampler for streams, for browsers that give a microphone at its own rate only.

   Output sample m stands at m * from / to of the input. It is a sum over the inputs near it, weighted
   by a sinc that is cut off below the lower of the two Nyquist frequencies, under a Kaiser window.
   The distance to the inputs repeats after to / gcd outputs: so many rows of weights are made at the
   start. Runs in a worklet. */

const ZERO_CROSSINGS = 24; // of the sinc on each side; the transition takes a tenth of the band
const CUTOFF = 0.92; // of the lower Nyquist frequency
const BETA = 8; // of the window: side lobes at some -80 dB

/** Resamples from one rate to another; both are whole numbers of hertz. */
export class Resampler {
  #weights = [];
  #history; // inputs that outputs still need
  #next = 0; // position of the next output in the history, in units of 1 / #phases
  #step;
  #phases;
  #half;

  constructor(from, to) {
    const divisor = greatestCommonDivisor(from, to);
    this.#step = from / divisor;
    this.#phases = to / divisor;
    const band = CUTOFF * Math.min(1, to / from);
    this.#half = Math.ceil(ZERO_CROSSINGS / band);
    this.#history = new Float32Array(this.#half - 1); // before the signal there is silence
    for (let phase = 0; phase < this.#phases; phase++) {
      this.#weights.push(this.#row(phase / this.#phases, band));
    }
  }

  /** Take samples; return what can be said of the output now. */
  push(samples) {
    const input = new Float32Array(this.#history.length + samples.length);
    input.set(this.#history);
    input.set(samples, this.#history.length);
    const output = [];
    let first = Math.floor(this.#next / this.#phases);
    while (first + 2 * this.#half <= input.length) {
      const weights = this.#weights[this.#next % this.#phases];
      let sum = 0;
      for (let i = 0; i < weights.length; i++) sum += weights[i] * input[first + i];
      output.push(sum);
      this.#next += this.#step;
      first = Math.floor(this.#next / this.#phases);
    }
    const used = Math.min(first, input.length);
    this.#history = input.slice(used);
    this.#next -= used * this.#phases;
    return Float32Array.from(output);
  }

  /** Return the rest of the output; nothing may follow. */
  rest() {
    return this.push(new Float32Array(this.#half));
  }

  /** Return the weights of the 2 * half inputs around an output, which stands `late` behind one. */
  #row(late, band) {
    const row = new Float32Array(2 * this.#half);
    let sum = 0;
    for (let i = 0; i < row.length; i++) {
      const distance = i - (this.#half - 1) - late;
      const inside = Math.max(0, 1 - (distance / this.#half) ** 2);
      const angle = Math.PI * band * distance;
      const sinc = angle === 0 ? 1 : Math.sin(angle) / angle;
      row[i] = sinc * bessel(BETA * Math.sqrt(inside));
      sum += row[i];
    }
    return row.map((weight) => weight / sum);
  }
}

/** Return the modified Bessel function of the first kind and order 0, by its series. */
function bessel(x) {
  let term = 1;
  let sum = 1;
  for (let k = 1; term > 1e-9 * sum; k++) {
    term *= (x / (2 * k)) ** 2;
    sum += term;
  }
  return sum;
}

function greatestCommonDivisor(a, b) {
  return b === 0 ? a : greatestCommonDivisor(b, a % b);
}
