"use strict";
// Rows come as JSON arrays of text; each is put into the page as text, never as markup.
const ROWS_MAX = 500;
const body = document.getElementById("live");
const state = document.getElementById("live-state");
if (body && state) {
  body.replaceChildren();
  const events = new EventSource(body.dataset.from);
  events.onopen = () => { state.textContent = state.dataset.open; };
  events.onerror = () => { state.textContent = state.dataset.closed; };
  let missed = 0;
  events.addEventListener("missed", (event) => {
    missed += Number(event.data);
    state.textContent = state.dataset.missed + missed.toLocaleString("en");
  });
  events.onmessage = (event) => {
    const row = document.createElement("tr");
    for (const text of JSON.parse(event.data)) {
      const cell = document.createElement("td");
      const said = document.createElement("bdi");
      said.textContent = text;
      cell.append(said);
      row.append(cell);
    }
    body.prepend(row);
    while (body.rows.length > ROWS_MAX) {
      body.deleteRow(-1);
    }
  };
}
