#include "protocol/program/status_page.hpp"

#include <algorithm>
#include <array>

namespace muxsocks {
namespace {

constexpr std::string_view page_html = R"html(<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>muxsocks</title>
<link rel="icon" href="/icon.svg" type="image/svg+xml">
<link rel="stylesheet" href="/status.css">
<script src="/status.js" defer></script>
</head>
<body>
<header>
<h1 id="program">muxsocks</h1>
<p id="state" role="status" aria-live="polite">connecting ...</p>
</header>
<main>
<section aria-labelledby="now">
<h2 id="now">Now</h2>
<dl id="figures"></dl>
<figure>
<svg id="chart" viewBox="0 0 600 80" preserveAspectRatio="none" role="img" aria-labelledby="caption">
<polyline id="up"></polyline><polyline id="down"></polyline></svg>
<figcaption id="caption">Traffic while this page is open, the last ten minutes at most.</figcaption>
</figure>
</section>
<section aria-labelledby="sessions-title">
<h2 id="sessions-title">Sessions and links</h2>
<div class="wide"><table>
<thead><tr><th scope="col">Session</th><th scope="col">State</th><th scope="col">Round trip</th>
<th scope="col">Streams</th><th scope="col">Up</th><th scope="col">Down</th>
<th scope="col">Resumed</th><th scope="col">Link since</th></tr></thead>
<tbody id="sessions"></tbody></table></div>
</section>
<section id="users-section" aria-labelledby="users-title" hidden>
<h2 id="users-title">Users</h2>
<div class="wide"><table>
<thead><tr><th scope="col">User</th><th scope="col">Sessions</th><th scope="col">Streams</th>
<th scope="col">Up</th><th scope="col">Down</th></tr></thead>
<tbody id="users"></tbody></table></div>
</section>
<section aria-labelledby="streams-title">
<h2 id="streams-title">Busiest streams</h2>
<div class="wide"><table>
<thead><tr><th scope="col">Stream</th><th scope="col">Session</th><th scope="col">Destination</th>
<th scope="col">Up</th><th scope="col">Down</th><th scope="col">Age</th></tr></thead>
<tbody id="streams"></tbody></table></div>
</section>
<section aria-labelledby="problems-title">
<h2 id="problems-title">Recent problems</h2>
<ul id="problems"></ul>
</section>
</main>
</body>
</html>
)html";

constexpr std::string_view page_style = R"css(:root {
  --ground: #fff; --text: #1b1b1b; --soft: #5a5a5a; --line: #d8d8d8;
  --good: #0a6b2d; --bad: #b3001b; --up: #0b57d0; --down: #8a4b00;
}
@media (prefers-color-scheme: dark) {
  :root {
    --ground: #141414; --text: #ececec; --soft: #a8a8a8; --line: #3a3a3a;
    --good: #6fd68f; --bad: #ff8a8a; --up: #8ab4f8; --down: #f0b060;
  }
}
* { box-sizing: border-box; }
body {
  margin: 0 auto; max-width: 70rem; padding: 1rem;
  background: var(--ground); color: var(--text); font: 1rem/1.5 system-ui, sans-serif;
}
header { display: flex; flex-wrap: wrap; align-items: baseline; gap: 0 1rem; }
h1 { font-size: 1.4rem; margin: 0; }
h2 { font-size: 1.1rem; margin: 1.5rem 0 .5rem; }
#state { margin: 0; font-weight: 600; }
.good { color: var(--good); }
.bad { color: var(--bad); }
dl { display: grid; grid-template-columns: repeat(auto-fill, minmax(9rem, 1fr)); gap: .5rem 1rem; margin: 0; }
dt { color: var(--soft); font-size: .85rem; }
dd { margin: 0; font-size: 1.15rem; font-variant-numeric: tabular-nums; }
figure { margin: 1rem 0 0; }
figcaption { color: var(--soft); font-size: .85rem; }
svg { width: 100%; height: 5rem; border-bottom: 1px solid var(--line); }
polyline { fill: none; stroke-width: 1.5; vector-effect: non-scaling-stroke; }
#up { stroke: var(--up); }
#down { stroke: var(--down); }
.wide { overflow-x: auto; }
table { border-collapse: collapse; width: 100%; font-variant-numeric: tabular-nums; }
th, td { text-align: left; padding: .25rem .75rem .25rem 0; border-bottom: 1px solid var(--line); white-space: nowrap; }
th { color: var(--soft); font-weight: 600; font-size: .85rem; }
ul { padding-left: 1.2rem; }
li { overflow-wrap: anywhere; }
time { color: var(--soft); }
)css";

constexpr std::string_view page_script = R"js("use strict";
const find = id => document.getElementById(id);
const history = [];
const history_max = 600;
let before = null;

function bytes(count) {
  const units = ["B", "kB", "MB", "GB", "TB"];
  let unit = 0;
  while (count >= 1000 && unit < units.length - 1) { count /= 1000; unit++; }
  return (unit ? count.toFixed(1) : Math.round(count)) + " " + units[unit];
}
function time(seconds) {
  if (seconds < 1) return (seconds * 1000).toFixed(seconds < .01 ? 1 : 0) + " ms";
  if (seconds < 120) return Math.round(seconds) + " s";
  if (seconds < 7200) return Math.round(seconds / 60) + " min";
  if (seconds < 172800) return Math.round(seconds / 3600) + " h";
  return Math.round(seconds / 86400) + " d";
}
function cell(text, name) {
  const made = document.createElement("td");
  made.textContent = text;
  if (name) made.className = name;
  return made;
}
function rows(id, list, cells, empty) {
  const made = list.map(each => {
    const row = document.createElement("tr");
    row.append(...cells(each));
    return row;
  });
  if (!made.length) {
    const row = document.createElement("tr");
    const only = cell(empty);
    only.colSpan = 8;
    row.append(only);
    made.push(row);
  }
  find(id).replaceChildren(...made);
}
function say(text, good) {
  const state = find("state");
  // A screen reader hears it when it changes, and not each second.
  if (state.textContent !== text) state.textContent = text;
  state.className = good ? "good" : "bad";
}
function figures(list) {
  find("figures").replaceChildren(...list.map(([name, value]) => {
    const pair = document.createElement("div");
    const term = document.createElement("dt");
    const said = document.createElement("dd");
    term.textContent = name;
    said.textContent = value;
    pair.append(term, said);
    return pair;
  }));
}
function draw(id, index, most) {
  const first = history_max - history.length;
  find(id).setAttribute("points", history.map((each, i) =>
    (first + i) * 600 / history_max + "," + (78 - 76 * each[index] / most).toFixed(1)).join(" "));
}
function chart(up, down) {
  history.push([up, down]);
  if (history.length > history_max) history.shift();
  const most = Math.max(1, ...history.map(each => Math.max(each[0], each[1])));
  draw("up", 0, most);
  draw("down", 1, most);
  find("caption").textContent = "Traffic while this page is open, the last ten minutes at most: now " +
    bytes(up) + "/s up and " + bytes(down) + "/s down, at most " + bytes(most) + "/s.";
}
function show(now) {
  const server = now.program === "muxsocks-server";
  find("program").textContent = now.program + " " + now.release;
  document.title = (now.ready ? "" : "down: ") + now.program;
  say(now.ready ? (server ? "takes streams" : "the link is up")
                : (server ? "is stopping" : "no link to the server"), now.ready);
  const at = performance.now() / 1000;
  let up = 0, down = 0;
  if (before) {
    up = Math.max(0, (now.totals.bytes_up - before.up) / (at - before.at));
    down = Math.max(0, (now.totals.bytes_down - before.down) / (at - before.at));
  }
  before = { at, up: now.totals.bytes_up, down: now.totals.bytes_down };
  figures([
    ["Links", now.links], ["Sessions", now.sessions_attached + now.sessions_detached],
    ["Without link", now.sessions_detached], ["Streams", now.streams], ["Waiting", now.waiting],
    ["Up", bytes(up) + "/s"], ["Down", bytes(down) + "/s"], ["Resumed", now.totals.resumed],
    ["Memory held", bytes(now.memory_held)], ["Runs for", time(Date.now() / 1000 - now.started)],
  ]);
  chart(up, down);
  rows("sessions", now.sessions, each => [
    cell(each.name), cell(each.state + (each.reason ? ": " + each.reason : ""),
                          each.state === "attached" ? "good" : "bad"),
    cell(each.rtt_seconds ? time(each.rtt_seconds) : "-"), cell(each.streams),
    cell(bytes(each.bytes_up)), cell(bytes(each.bytes_down)), cell(each.resumed),
    cell(each.links.length ? time(Math.max(...each.links.map(link => link.age_seconds))) : "-"),
  ], "None.");
  find("users-section").hidden = !now.users;
  rows("users", now.users || [], each => [
    cell(each.name || "(no name)"), cell(each.sessions), cell(each.streams),
    cell(bytes(each.bytes_up)), cell(bytes(each.bytes_down)),
  ], "None.");
  rows("streams", now.busiest_streams, each => [
    cell(each.id), cell(each.session), cell(each.destination || "(log.destinations is false)"),
    cell(bytes(each.bytes_up)), cell(bytes(each.bytes_down)), cell(time(each.age_seconds)),
  ], "None.");
  find("problems").replaceChildren(...(now.problems.length ? now.problems : [null]).map(each => {
    const item = document.createElement("li");
    if (!each) { item.textContent = "None."; return item; }
    const when = document.createElement("time");
    const date = new Date(each.time * 1000);
    when.dateTime = date.toISOString();
    when.textContent = date.toLocaleTimeString() + " ";
    item.append(when, each.message);
    return item;
  }));
}
const events = new EventSource("/v1/live");
events.onmessage = event => show(JSON.parse(event.data));
events.onerror = () => say("the program does not answer", false);
)js";

constexpr std::string_view page_icon =
    R"svg(<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 16 16"><path fill="none" stroke="#0b57d0" stroke-width="2" d="M1 3c7 0 6 5 14 5M1 8h14M1 13c7 0 6-5 14-5"/></svg>)svg";

constexpr std::array page_files{
    page_file{"/", "text/html; charset=utf-8", page_html},
    page_file{"/icon.svg", "image/svg+xml", page_icon},
    page_file{"/status.css", "text/css; charset=utf-8", page_style},
    page_file{"/status.js", "text/javascript; charset=utf-8", page_script},
};

} // namespace

const page_file* find_page(std::string_view path) {
    const auto found = std::find_if(page_files.begin(), page_files.end(),
                                    [&](const page_file& each) { return path == each.path; });
    return found == page_files.end() ? nullptr : &*found;
}

} // namespace muxsocks
