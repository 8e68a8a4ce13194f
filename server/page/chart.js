/* The chart: a column for each chunk of 60 ms, moving left as time goes.

   Above the line stands how loud the chunk was, below it how long its response took: the deeper, the
   later. The scale of the depths is the least of `SCALES` that holds what is to be seen. Its sizes are
   those of the canvas's font, so that it grows with the page. */

import { CHUNK_SECONDS } from "./audio/pcm.js";

// In units: a font of 11 pixels has one of a pixel.
const STEP = 5; // from column to column
const WIDTH = 3;
const GAP = 2; // between the line and either side
const GUTTER = 46; // for what the axis says, at the right
const FOOT = 16; // the same at the bottom
const TICK = 2; // seconds from one to the next
const LOUDNESSES = [
  [1, "0 dB"],
  [0.5, "−30 dB"],
];
const SCALES = [5, 10, 20, 40, 80, 160, 320, 640, 1280, 2560, 5120, 10240]; // ms
const KEPT = 1024; // columns; no screen shows more

/** Draws columns on a canvas, in the colours of its style. */
export class Chart {
  #canvas;
  #columns = []; // {loudness, latency}, latency null until the response comes
  #answered = 0; // columns before this one have their latency, or never get one
  #came = -Infinity; // when the newest did
  #depth = SCALES[1];

  constructor(canvas) {
    this.#canvas = canvas;
    new ResizeObserver(() => this.draw()).observe(canvas);
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => this.draw());
  }

  /** Let a stream begin: what was never answered is not answered any more. */
  begin() {
    this.#answered = this.#columns.length;
  }

  /** Add a chunk. */
  hear(loudness) {
    this.#columns.push({ loudness, latency: null });
    if (this.#columns.length > 2 * KEPT) {
      this.#columns.splice(0, KEPT);
      this.#answered = Math.max(0, this.#answered - KEPT);
    }
    this.#came = performance.now();
  }

  /** Add the latency of the first chunk that has none, ms; null where it is not worth telling. */
  answer(latency) {
    const column = this.#columns[this.#answered++];
    if (column) column.latency = latency;
  }

  /** Forget all columns but those whose responses are still to come. */
  clear() {
    this.#columns.splice(0, this.#answered);
    this.#answered = 0;
    this.draw();
  }

  /** Draw what there is now. */
  draw() {
    const { clientWidth: width, clientHeight: height } = this.#canvas;
    if (!width) return;
    const style = getComputedStyle(this.#canvas);
    const unit = parseFloat(style.fontSize) / 11;
    const context = this.#fit(width, height);
    const [right, bottom] = [width - GUTTER * unit, height - FOOT * unit];
    const line = Math.round(bottom / 2);
    const columns = this.#columns.slice(-Math.ceil(right / (STEP * unit)) - 1);
    this.#rescale(columns);
    const colour = (name) => style.getPropertyValue(`--${name}`);
    context.fillStyle = colour("line");
    context.fillRect(0, line - 0.5, columns.length ? right : width, 1);
    if (!columns.length) return;
    context.font = `${style.fontSize} ${style.fontFamily}`;
    const timed = columns.some(({ latency }) => latency !== null);
    this.#drawAxis(context, { right, bottom, line, unit, timed, grid: colour("line"), ink: colour("soft") });
    const late = Math.min(1, (performance.now() - this.#came) / (1000 * CHUNK_SECONDS));
    context.save();
    context.rect(0, 0, right, bottom);
    context.clip();
    const left = (i) => right - (columns.length - i - 1 + late) * STEP * unit;
    const [levels, latencies] = [new Path2D(), new Path2D()]; // filled at once: a fill is what costs
    columns.forEach(({ loudness, latency }, i) => {
      const up = loudness * (line - GAP * unit);
      if (up >= 1) bar(levels, left(i), line - GAP * unit - up, WIDTH * unit, up);
      if (latency === null) return;
      const down = Math.max(2, Math.min(1, latency / this.#depth) * (bottom - line - GAP * unit));
      bar(latencies, left(i), line + GAP * unit, WIDTH * unit, down);
    });
    context.fillStyle = colour("level");
    context.fill(levels);
    context.fillStyle = colour("accent");
    context.fill(latencies);
    context.restore();
  }

  /** Return a context of the canvas, as many pixels large as the screen has there. */
  #fit(width, height) {
    const ratio = devicePixelRatio;
    const [wide, high] = [Math.round(width * ratio), Math.round(height * ratio)];
    if (this.#canvas.width !== wide || this.#canvas.height !== high) {
      Object.assign(this.#canvas, { width: wide, height: high });
    }
    const context = this.#canvas.getContext("2d");
    context.setTransform(ratio, 0, 0, ratio, 0, 0);
    context.clearRect(0, 0, width, height);
    return context;
  }

  /** Draw lines at loudnesses, latencies and seconds, and say what they are. */
  #drawAxis(context, { right, bottom, line, unit, timed, grid, ink }) {
    const places = LOUDNESSES.map(([share, name]) => [line * (1 - share), name]);
    for (const share of timed ? [0.5, 1] : []) {
      places.push([line + (bottom - line) * share, time(this.#depth * share)]);
    }
    context.textAlign = "left";
    context.textBaseline = "middle";
    for (const [place, name] of places) {
      context.fillStyle = grid;
      context.fillRect(0, Math.min(place, bottom - 1), right, 1);
      context.fillStyle = ink;
      const y = Math.max(6 * unit, Math.min(bottom - 5 * unit, place));
      context.fillText(name, right + 6 * unit, y);
    }
    context.textAlign = "center";
    context.textBaseline = "bottom";
    for (let seconds = TICK; ; seconds += TICK) {
      const x = right - (seconds / CHUNK_SECONDS) * STEP * unit;
      if (x < 20 * unit) break;
      context.fillText(`−${seconds} s`, x, bottom + FOOT * unit);
    }
    context.fillText("now", right, bottom + FOOT * unit);
  }

  #rescale(columns) {
    const latest = Math.max(0, ...columns.map(({ latency }) => latency ?? 0));
    this.#depth = SCALES.find((scale) => scale >= latest) ?? SCALES.at(-1);
  }
}

function time(milliseconds) {
  return milliseconds < 1000 ? `${milliseconds} ms` : `${(milliseconds / 1000).toFixed(1)} s`;
}

function bar(path, left, top, width, height) {
  path.roundRect(left, top, width, height, Math.min(width, height) / 2);
}
