"use strict";
// Lives on /v1/live, an event a second, and on /v1/history, each ten seconds. Rows stay where they are
// and only what has changed is written: who reads, or has it read out, does not lose the place.
const find = id => document.getElementById(id);
const nbsp = "\u00a0";
const lost_shown = 60;
const lost_max = 20;
const rows_max = 100;
const minute_of_steps = 6;
let before = null;
let past = { up_per_second: [], down_per_second: [], links: [] };
let lost = [];

// ---- Texts

function bytes(count) {
  const units = ["B", "kB", "MB", "GB", "TB"];
  let unit = 0;
  while (count >= 1000 && unit < units.length - 1) { count /= 1000; unit++; }
  return (unit ? count.toFixed(1) : Math.round(count)) + nbsp + units[unit];
}
const rate = count => bytes(count) + "/s";
function time(seconds) {
  if (seconds < 1) return (seconds * 1000).toFixed(seconds < .01 ? 1 : 0) + nbsp + "ms";
  if (seconds < 120) return Math.round(seconds) + nbsp + "s";
  if (seconds < 7200) return Math.round(seconds / 60) + nbsp + "min";
  if (seconds < 172800) return Math.round(seconds / 3600) + nbsp + "h";
  return Math.round(seconds / 86400) + nbsp + "d";
}
const share = part => (part * 100).toFixed(part > 0 && part < .01 ? 2 : 1) + nbsp + "%";
const unbounded = 4294967295;
function limit(name, value) {
  if (typeof value !== "number") return name + " " + value;
  if (value >= unbounded && name !== "memory") return "";
  return (name === "memory" ? bytes(value) + " of memory" : value + " " + name);
}

// ---- What is there

function put(node, text) {
  if (node.textContent !== text) node.textContent = text;
}
function say(text, good) {
  // A screen reader hears it when it changes, and not each second.
  put(find("state"), text);
  find("state").className = good ? "good" : "bad";
}

/// A function that shows a list of {key, cells, bad, chart} in a table's body, row by row.
function table(id, empty) {
  const body = find(id);
  const labels = [...body.parentNode.tHead.rows[0].cells].map(each => each.textContent);
  const kept = new Map();
  const make = (tag, role, label) => {
    const cell = document.createElement(tag);
    cell.setAttribute("role", role);
    if (tag === "th") cell.scope = "row";
    else cell.dataset.label = label;
    return cell;
  };
  const make_row = () => {
    const row = document.createElement("tr");
    row.setAttribute("role", "row");
    row.append(...labels.map((label, i) => make(i ? "td" : "th", i ? "cell" : "rowheader", label)));
    return row;
  };
  const none = document.createElement("tr");
  none.setAttribute("role", "row");
  none.append(make("td", "cell", ""));
  none.firstChild.removeAttribute("data-label");
  none.firstChild.colSpan = labels.length;
  none.firstChild.textContent = empty;
  body.append(none);
  return list => {
    const keys = new Set(list.map(each => each.key));
    for (const [key, row] of kept) {
      if (keys.has(key)) continue;
      row.remove();
      kept.delete(key);
    }
    none.hidden = list.length > 0;
    list.forEach((each, i) => {
      if (!kept.has(each.key)) kept.set(each.key, make_row());
      const row = kept.get(each.key);
      if (body.rows[i] !== row) body.insertBefore(row, body.rows[i]);
      each.cells.forEach((text, column) => put(row.cells[column], String(text)));
      row.className = each.bad ? "bad" : "";
      if (each.chart) draw_in(row.cells[row.cells.length - 1], each.chart);
    });
  };
}

// ---- Charts

function draw(chart, up, down) {
  const most = Math.max(1, ...up, ...down);
  [up, down].forEach((values, i) => chart.querySelectorAll("polyline")[i].setAttribute("points",
    values.map((each, at) => (60 - values.length + at) + "," + (19 - 18 * each / most).toFixed(1)).join(" ")));
  return most;
}
function draw_in(cell, [up, down]) {
  if (!cell.firstElementChild) {
    cell.className = "wide";
    cell.append(find("chart").content.firstElementChild.cloneNode(true));
  }
  const chart = cell.firstElementChild;
  const most = draw(chart, up, down);
  const text = up.length ? "The last ten minutes: at most " + rate(most) : "Nothing is known yet";
  if (chart.getAttribute("aria-label") !== text) chart.setAttribute("aria-label", text);
}

// ---- What has changed since the event before

function per_second(now, was, seconds) {
  return seconds > 0 && was !== undefined ? Math.max(0, (now - was) / seconds) : 0;
}
const link_key = link => link.session_id + "/" + link.number;
const stream_key = stream => stream.session_id + "/" + stream.id;

/// All links of an event, each with its session's id and name.
function links_of(now) {
  return now.sessions.flatMap(session => session.links.map(link =>
    ({ ...link, session_id: session.id, name: session.name })));
}

/// Links of the event before that are gone: of sessions that are still shown, or of any if all are.
function note_lost(now) {
  lost = lost.filter(each => now.time - each.at < lost_shown);
  if (!before) return;
  const there = new Set(now.links_shown.map(link_key));
  const sessions = new Set(now.sessions.map(each => each.id));
  const all = now.sessions.length < rows_max;
  const why = Object.keys(now.totals.links_lost)
    .filter(each => now.totals.links_lost[each] > before.totals.links_lost[each]).join(", ");
  for (const link of before.links_shown) {
    if (there.has(link_key(link)) || !(all || sessions.has(link.session_id))) continue;
    lost.unshift({ ...link, at: now.time, why });
  }
  lost.length = Math.min(lost.length, lost_max);
}

// ---- Parts of the page

const show_links = table("links", "No link is up.");
const show_sessions = table("sessions", "None.");
const show_users = table("users", "None.");
const show_streams = table("streams", "None.");

function figures(list) {
  const there = find("figures");
  list.forEach(([name, value], i) => {
    if (!there.children[i]) {
      const pair = document.createElement("div");
      pair.append(document.createElement("dt"), document.createElement("dd"));
      there.append(pair);
    }
    put(there.children[i].firstChild, name);
    put(there.children[i].lastChild, String(value));
  });
}

function traffic(up, down) {
  const all_up = [...past.up_per_second, up].slice(-60);
  const all_down = [...past.down_per_second, down].slice(-60);
  const most = draw(find("traffic"), all_up, all_down);
  put(find("traffic-text"), "Traffic of the last ten minutes, up and (dashed) down: now " + rate(up) + " up and " +
    rate(down) + " down, at most " + rate(most) + ".");
}

function link_rows(now, seconds) {
  const known = new Map(past.links.map(each => [link_key(each), each]));
  const last = new Map((before ? before.links_shown : []).map(each => [link_key(each), each]));
  const rows = now.links_shown.slice(0, rows_max).map(link => {
    const steps = known.get(link_key(link));
    const was = last.get(link_key(link)) || {};
    const sum = name => steps[name].slice(-minute_of_steps).reduce((a, b) => a + b, 0);
    const sent = steps ? sum("sent_packets") : link.sent_packets;
    const again = steps ? sum("retransmits") : link.retransmits;
    return {
      key: link_key(link),
      cells: [link.name + ", link " + link.number, "up, takes " + link.takes,
              link.rtt_seconds ? time(link.rtt_seconds) : "-", sent > 0 ? share(again / sent) : "-",
              rate(per_second(link.bytes_sent, was.bytes_sent, seconds)),
              rate(per_second(link.bytes_received, was.bytes_received, seconds)), time(link.age_seconds)],
      chart: steps ? [steps.sent_per_second, steps.received_per_second] : [[], []],
    };
  });
  return rows.concat(lost.map(link => ({
    key: "lost " + link_key(link), bad: true,
    cells: [link.name + ", link " + link.number, "ended " + time(now.time - link.at) + " ago" + (link.why ? ": " + link.why : ""),
            "-", "-", "-", "-", "-", "-"],
  })));
}

function session_rows(now) {
  return now.sessions.slice(0, rows_max).map((each, i) => ({
    key: each.id || "down " + i, bad: each.state !== "attached",
    cells: [each.name, each.state + (each.reason ? ": " + each.reason : ""), each.streams, bytes(each.bytes_up),
            bytes(each.bytes_down), each.resumed, bytes(each.bytes_held)],
  }));
}

function user_rows(now) {
  return (now.users || []).map(each => ({
    key: each.name,
    cells: [each.name || "(no name)", each.sessions, each.streams, bytes(each.bytes_up), bytes(each.bytes_down),
            Object.entries(each.limits || {}).map(([name, value]) => limit(name, value)).filter(Boolean).join(", ") || "-"],
  }));
}

function stream_rows(now, seconds) {
  const last = new Map((before ? before.busiest_streams : []).map(each => [stream_key(each), each]));
  return now.busiest_streams.map(each => {
    const was = last.get(stream_key(each));
    const moved = was ? each.bytes_up + each.bytes_down - was.bytes_up - was.bytes_down : 0;
    return {
      key: stream_key(each),
      cells: [each.id, each.session, each.destination || "(log.destinations is false)", bytes(each.bytes_up),
              bytes(each.bytes_down), rate(per_second(moved, 0, seconds)), time(each.age_seconds)],
    };
  });
}

function show_problems(now) {
  const list = now.problems.map(each => ({ ...each, key: each.time + each.message }));
  const text = JSON.stringify(list);
  const there = find("problems");
  if (there.dataset.shown === text) return;
  there.dataset.shown = text;
  there.replaceChildren(...(list.length ? list : [null]).map(each => {
    const item = document.createElement("li");
    if (!each) { item.textContent = "None."; return item; }
    const when = document.createElement("time");
    const date = new Date(each.time * 1000);
    when.dateTime = date.toISOString();
    when.textContent = date.toLocaleTimeString() + " ";
    item.append(when, each.level + ": " + each.message);
    return item;
  }));
}

function count(id, shown, all, which, text) {
  put(find(id), all > shown ? shown + " of " + all + ": those " + which + "." : text);
}

function show(now) {
  now.links_shown = links_of(now);
  note_lost(now);
  const seconds = before ? now.time - before.time : 0;
  const server = now.program === "muxsocks-server";
  const up = before ? per_second(now.totals.bytes_up, before.totals.bytes_up, seconds) : 0;
  const down = before ? per_second(now.totals.bytes_down, before.totals.bytes_down, seconds) : 0;
  say(now.ready ? (server ? "takes streams" : "the link is up")
                : (server ? "is stopping" : "no link to the server"), now.ready);
  document.title = (now.ready ? "" : "down: ") + now.program;
  // Nobody sees it: only what is remembered is kept up.
  if (!document.hidden) {
    put(find("program"), now.program + " " + now.release);
    figures([
      ["Links", now.links], ["Sessions", now.sessions_attached + now.sessions_detached],
      ["Without link", now.sessions_detached], ["Streams", now.streams], ["Waiting", now.waiting],
      ["Up", rate(up)], ["Down", rate(down)], ["Resumed", now.totals.resumed],
      ...(now.direct ? [["Direct", now.direct.open]] : []),
      ["Memory held", bytes(now.memory_held)], ["Runs for", time(now.time - now.started)],
    ]);
    traffic(up, down);
    show_links(link_rows(now, seconds));
    show_sessions(session_rows(now));
    count("sessions-text", now.sessions.length, now.sessions_attached + now.sessions_detached, "with most streams",
          "A session carries streams, and outlives its links.");
    find("users-section").hidden = !now.users;
    show_users(user_rows(now));
    count("users-text", (now.users || []).length, now.user_count || 0, "with most streams",
          "What they have and have moved since the start, and what they may have.");
    show_streams(stream_rows(now, seconds));
    count("streams-text", now.busiest_streams.length, now.streams, "that have carried most",
          "Those that have carried most.");
    show_problems(now);
    find("advice").hidden = server || now.ready;
  }
  before = now;
}

// ---- Where it comes from

async function look_back() {
  try {
    const answer = await fetch("/v1/history");
    if (answer.ok) past = await answer.json();
  } catch {
    // The events have an end, too, which says it.
  }
}
const events = new EventSource("/v1/live");
events.onopen = look_back;
events.onmessage = event => show(JSON.parse(event.data));
events.onerror = () => { before = null; say("the program does not answer", false); };
setInterval(look_back, 10000);
