/* One stream over the server's websocket: chunks out, responses in, the time between the two.

   1. Chunks may be sent before the socket is open: they wait, none is lost.
   2. A response answers all chunks up to its end, more than one where the model's own are longer than
      60 ms. With beam search there may be two responses with one end, of which the first counts. A last
      piece of less than 60 ms is answered by the response to the end, and has no latency.
   3. An empty message ends the stream. The server answers it, and closes. */

import { CHUNK, RATE } from "./audio/pcm.js";

const WINDOW = 100; // chunks on their way at a time, where nothing else holds the sender back

/** A stream; `onResponse` gets each response, the latency in ms of the last chunk that it answers, null where
    it answers none, and how many it answers. */
export class Stream {
  #socket;
  #waiting = [];
  #sent = []; // when each whole chunk left, until it is answered
  #answered = 0; // chunks
  #onResponse;
  #wake = () => {};
  #opened = false;

  constructor(address, onResponse) {
    this.#onResponse = onResponse;
    this.#socket = new WebSocket(address);
    this.#socket.binaryType = "arraybuffer";
    this.#socket.onopen = () => this.#open();
    this.#socket.onmessage = ({ data }) => this.#answer(JSON.parse(data));
    /** Resolves to how the stream ended: {opened, code, reason}. */
    this.closed = new Promise((resolve) => {
      this.#socket.onclose = ({ code, reason }) => {
        this.#wake();
        resolve({ opened: this.#opened, code, reason });
      };
    });
  }

  /** Send a chunk, an Int16Array. */
  send(chunk) {
    if (this.#socket.readyState === WebSocket.CONNECTING) {
      this.#waiting.push(chunk);
    } else if (this.#socket.readyState === WebSocket.OPEN) {
      this.#socket.send(chunk);
      if (chunk.length === CHUNK) this.#sent.push(performance.now());
    }
  }

  /** Say that no audio follows. */
  end() {
    this.send(new Int16Array(0));
  }

  /** Wait until there is room for a chunk on the way. */
  async room() {
    while (
      this.#waiting.length + this.#sent.length >= WINDOW &&
      this.#socket.readyState <= WebSocket.OPEN
    ) {
      await new Promise((resolve) => (this.#wake = resolve));
    }
  }

  #open() {
    this.#opened = true;
    for (const chunk of this.#waiting.splice(0)) this.send(chunk);
  }

  #answer(response) {
    let latency = null;
    const until = Math.ceil(Math.round(response.end * RATE) / CHUNK);
    const chunks = Math.max(0, Math.min(until - this.#answered, this.#sent.length));
    if (chunks) {
      latency = performance.now() - this.#sent.splice(0, chunks).pop();
      this.#answered += chunks;
    }
    this.#onResponse(response, latency, chunks);
    this.#wake();
  }
}
