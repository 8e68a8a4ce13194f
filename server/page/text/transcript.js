/* The words of one stream, from its responses. No drawing.

   1. Text begins a word where it begins with a space. Final text is appended and never changes;
      provisional text stands behind it until the next response.
   2. A word is {text, start, end, confidence, joins, breaks, state}, times in seconds. `joins` is
      whether it goes on with the word before, as provisional text may; `breaks`, whether an
      utterance ended before it. `state` is "provisional", "open" (final, but may go on) or "done".
   3. The server tells the times of a word once it is complete, in order: the k-th belong to the k-th
      word. Until then they are those of the responses that it came in. */

export class Transcript {
  #words = []; // final
  #done = 0; // of which so many are complete
  #parted = true; // whether the next text begins a word
  #breaks = false;
  #provisional = [];

  /** All words. */
  get words() {
    return [...this.#words, ...this.#provisional];
  }

  /** How many of them are complete, and do not change any more. */
  get done() {
    return this.#done;
  }

  /** How many are final. */
  get final() {
    return this.#words.length;
  }

  /** The final words from the k-th on, an array for each utterance. */
  utterances(from = 0) {
    const found = [];
    for (const word of this.#words.slice(from)) {
      if (word.breaks || !found.length) found.push([]);
      found.at(-1).push(word);
    }
    return found;
  }

  /** Take a response of the server. */
  add({ start, end, is_provisional, alternatives, words = [], end_of_utterance = false }) {
    const [{ transcript, confidence }] = alternatives;
    const parts = this.#split(transcript, { start, end, confidence });
    this.#provisional = is_provisional ? parts : [];
    if (is_provisional) return;
    for (const part of parts) this.#append(part);
    if (/\s$/.test(transcript)) this.#parted = true;
    for (const { word, ...times } of words) this.#complete(times);
    if (end_of_utterance) this.#parted = this.#breaks = true;
  }

  /** Return the words of a text; the first of them `joins` where it goes on with the last final one. */
  #split(text, times) {
    return (text.match(/\s*\S+/g) ?? []).map((part, i) => ({
      text: part.trim(),
      ...times,
      joins: i === 0 && !this.#parted && !/^\s/.test(part),
      breaks: i === 0 && this.#breaks && this.#words.length > 0,
      state: "provisional",
    }));
  }

  #append(part) {
    const last = this.#words.at(-1);
    if (part.joins && last) {
      last.text += part.text;
      last.end = part.end;
      last.confidence = Math.min(last.confidence, part.confidence);
    } else {
      this.#words.push({ ...part, joins: false, state: "open" });
    }
    this.#parted = this.#breaks = false;
  }

  #complete(times) {
    if (this.#done < this.#words.length) {
      Object.assign(this.#words[this.#done], times, { state: "done" });
      this.#done += 1;
    }
  }
}
