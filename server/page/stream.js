/* One stream over the server's websocket: chunks out, responses in, the time between the two.

   1. Chunks may be sent before the socket is open: they wait, none is lost.
   2. The k-th response whose audio ends later than that of all before it answers the k-th chunk:
      with beam search a chunk may have two responses, of which the first counts. A last piece of
      less than 60 ms is answered by the response to the end, and has no latency.
   3. An empty message ends the stream. The server answers it, and closes. */

import { CHUNK } from "./audio/pcm.js";

const WINDOW = 100; // chunks on their way at a time, where nothing else holds the sender back

/** A stream; `onResponse` gets each response and the latency in ms, null where it answers no chunk. */
export class Stream {
  #socket;
  #waiting = [];
  #sent = []; // when each whole chunk left, until it is answered
  #heard = 0;
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
    if (response.end > this.#heard && this.#sent.length) {
      latency = performance.now() - this.#sent.shift();
      this.#heard = response.end;
    }
    this.#onResponse(response, latency);
    this.#wake();
  }
}
