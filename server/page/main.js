/* The page: what is pressed, dropped and shown. Everything else is in the modules beside this one.

   1. There is at most one stream. The page is idle, opening (the microphone, a file), live (audio is
      sent) or finishing (the rest of the text comes); `data-state` of the body tells which.
   2. The round button starts the microphone, and stops whatever streams. Another recording may be
      chosen where the page is idle only.
   3. What goes wrong is a Fault, is shown with what to do, and costs no text. */

import { Chart } from "./chart.js";
import { Fault, closeFault } from "./faults.js";
import { Latencies } from "./latencies.js";
import { openMicrophone } from "./audio/microphone.js";
import { TranscriptView } from "./text/view.js";
import { CHUNK, RATE, loudness } from "./audio/pcm.js";
import { decode, play } from "./audio/recording.js";
import { servedModels, streamAddress, whyRefused } from "./service.js";
import { Stream } from "./stream.js";
import { Transcript } from "./text/transcript.js";

const at = (id) => document.getElementById(id);
const view = new TranscriptView(at("transcript"), at("details"));
const chart = new Chart(at("chart"));
let latencies = new Latencies();
let samplesHeard = 0;
let level = 0; // what the meter shows, which falls slowly
let stopping = new AbortController();

const STATUS = { idle: "", opening: "Opening …", live: "Listening", finishing: "Finishing …" };

function enter(state) {
  document.body.dataset.state = state;
  at("status").textContent = STATUS[state];
  const idle = state === "idle";
  at("microphone").setAttribute("aria-label", idle ? "Start the microphone" : "Stop");
  at("microphone").setAttribute("aria-pressed", String(!idle));
  at("microphone").disabled = state === "finishing";
  for (const id of ["open", "paced"]) at(id).disabled = !idle;
  at("model").disabled = !idle || at("model").length < 2;
  for (const id of ["copy", "clear"]) at(id).disabled = !view.text;
  if (state === "live") requestAnimationFrame(draw);
}

function idle() {
  return document.body.dataset.state === "idle";
}

function showFault(fault) {
  if (!(fault instanceof Fault)) {
    console.error(fault);
    fault = new Fault(`This page failed: ${fault.message}.`, "Load it again.");
  }
  at("fault-message").textContent = fault.message;
  at("fault-advice").textContent = fault.advice;
  at("fault").hidden = false;
}

/** Open a source, stream it, and show what comes; `open` returns a function that sends chunks. */
async function stream(heading, open, measured) {
  if (!idle()) return;
  at("fault").hidden = true;
  stopping = new AbortController();
  enter("opening");
  try {
    const send = await open();
    await converse(heading, send, measured, stopping.signal);
  } catch (fault) {
    showFault(fault);
  } finally {
    view.end();
    enter("idle");
  }
}

async function converse(heading, send, measured, signal) {
  const model = at("model").value;
  const transcript = new Transcript();
  const began = performance.now();
  let seconds = 0;
  const connection = new Stream(streamAddress(model), (response, latency) => {
    transcript.add(response);
    view.show(transcript);
    if (latency === null) return;
    seconds = response.end;
    chart.answer(measured ? latency : null);
    if (measured) latencies.add(latency);
    showFigures(measured ? null : seconds / ((performance.now() - began) / 1000));
  });
  const lost = connection.closed.then(() => stopping.abort());
  const hear = (chunk) => {
    connection.send(chunk);
    samplesHeard += chunk.length;
    level = Math.max(level, loudness(chunk));
    if (chunk.length === CHUNK) chart.hear(loudness(chunk));
  };
  chart.begin();
  view.begin(heading);
  enter("live");
  try {
    await send({ send: hear, room: () => connection.room() }, signal);
  } finally {
    enter("finishing");
    connection.end();
    await lost;
  }
  const close = await connection.closed;
  const fault = close.opened ? closeFault(close) : await whyRefused(model);
  if (fault) throw fault;
}

function showFigures(speed) {
  const ms = (value) => (Number.isNaN(value) ? "–" : `${value.toFixed(value < 100 ? 1 : 0)} ms`);
  at("cl50").textContent = ms(latencies.percentile(50));
  at("cl99").textContent = ms(latencies.percentile(99));
  const seconds = Math.floor(samplesHeard / RATE);
  at("heard").textContent = `${Math.floor(seconds / 60)}:${String(seconds % 60).padStart(2, "0")}`;
  at("speed-figure").hidden = speed === null;
  if (speed !== null) at("speed").textContent = `${speed.toFixed(speed < 10 ? 1 : 0)} × real time`;
}

/** Draw the chart and the meter as long as anything moves. */
function draw() {
  level = idle() && level < 0.01 ? 0 : 0.92 * level;
  at("microphone").style.setProperty("--loudness", level.toFixed(3));
  at("meter").setAttribute("aria-valuenow", level.toFixed(2));
  chart.draw();
  if (!idle() || level) requestAnimationFrame(draw);
}

function streamMicrophone() {
  const open = async () => {
    const microphone = await openMicrophone();
    return (connection, signal) => microphone.listen(connection.send, signal);
  };
  const time = new Date().toLocaleTimeString([], { hour: "2-digit", minute: "2-digit" });
  return stream(`Microphone, ${time}`, open, true);
}

function streamFile(file) {
  const paced = at("paced").checked;
  const open = async () => {
    const samples = await decode(file);
    return (connection, signal) => play(samples, connection, paced, signal);
  };
  return stream(file.name, open, paced);
}

async function copy() {
  try {
    await navigator.clipboard.writeText(view.text);
    at("status").textContent = "Copied";
  } catch {
    // Browsers have no clipboard for pages without https: what is selected can be copied by hand.
    getSelection().selectAllChildren(at("transcript"));
    at("status").textContent = "Selected: copy with Ctrl+C";
  }
}

function clear() {
  view.clear();
  chart.clear();
  latencies = new Latencies();
  samplesHeard = 0;
  showFigures(null);
  enter(document.body.dataset.state);
}

function takeDrops() {
  addEventListener("dragover", (event) => {
    event.preventDefault();
    at("drop").hidden = !idle();
  });
  addEventListener("dragleave", ({ relatedTarget }) => (at("drop").hidden ||= !relatedTarget));
  addEventListener("drop", (event) => {
    event.preventDefault();
    at("drop").hidden = true;
    const [file] = event.dataTransfer.files;
    if (file) streamFile(file);
  });
}

async function showModels() {
  try {
    const models = await servedModels();
    at("model").replaceChildren(...models.map(({ name }) => new Option(name)));
  } catch (fault) {
    showFault(fault);
  }
  enter("idle");
}

at("microphone").onclick = () => (idle() ? streamMicrophone() : stopping.abort());
at("open").onclick = () => at("file").click();
at("file").onchange = ({ target }) => {
  const [file] = target.files;
  target.value = ""; // so that the same file may be chosen again
  if (file) streamFile(file);
};
at("copy").onclick = copy;
at("clear").onclick = clear;
at("fault-close").onclick = () => (at("fault").hidden = true);
takeDrops();
chart.draw();
showModels();
