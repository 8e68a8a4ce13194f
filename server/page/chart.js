/* The chart: a column for each chunk of 60 ms, moving left as time goes.

   Above the line stands how loud the chunk was, below it how long its response took: the deeper, the
   later. The scale of the depths is the least of `SCALES` that holds what is to be seen. */

import { CHUNK_SECONDS } from "./audio/pcm.js";

const STEP = 5; // pixels from column to column
const WIDTH = 3;
const SHARE = 0.5; // of the height, above the line
const GAP = 2; // pixels between the line and either side
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

  /** Forget all columns. */
  clear() {
    this.#columns = [];
    this.#answered = 0;
    this.draw();
  }

  /** Draw what there is now. */
  draw() {
    const { clientWidth: width, clientHeight: height } = this.#canvas;
    if (!width) return;
    const ratio = devicePixelRatio;
    if (this.#canvas.width !== Math.round(width * ratio) || this.#canvas.height !== Math.round(height * ratio)) {
      this.#canvas.width = Math.round(width * ratio);
      this.#canvas.height = Math.round(height * ratio);
    }
    const context = this.#canvas.getContext("2d");
    context.setTransform(ratio, 0, 0, ratio, 0, 0);
    context.clearRect(0, 0, width, height);
    const colours = getComputedStyle(this.#canvas);
    const line = Math.round(height * SHARE);
    const columns = this.#columns.slice(-Math.ceil(width / STEP) - 1);
    this.#rescale(columns);
    context.fillStyle = colours.getPropertyValue("--line");
    context.fillRect(0, line - 0.5, width, 1);
    const late = Math.min(1, (performance.now() - this.#came) / (1000 * CHUNK_SECONDS));
    columns.forEach(({ loudness, latency }, i) => {
      const left = width - (columns.length - i - 1 + late) * STEP;
      const up = loudness * (line - GAP - 2);
      context.fillStyle = colours.getPropertyValue("--level");
      if (up >= 1) bar(context, left, line - GAP - up, up);
      if (latency === null) return;
      const down = Math.max(2, Math.min(1, latency / this.#depth) * (height - line - GAP - 2));
      context.fillStyle = colours.getPropertyValue("--accent");
      bar(context, left, line + GAP, down);
    });
    this.#canvas.dataset.depth = this.#depth;
  }

  #rescale(columns) {
    const latest = Math.max(0, ...columns.map(({ latency }) => latency ?? 0));
    this.#depth = SCALES.find((scale) => scale >= latest) ?? SCALES.at(-1);
  }
}

function bar(context, left, top, height) {
  context.beginPath();
  context.roundRect(left, top, WIDTH, height, Math.min(WIDTH, height) / 2);
  context.fill();
}
