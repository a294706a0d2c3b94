// The report's page: a gallery on the one hand, one photo on the other. Every text is set as text, never as HTML.
"use strict";

const byId = (id) => document.getElementById(id);
const number = (value) => (typeof value === "string" ? Number(value.replace("inf", "Infinity")) : (value ?? null));
const run = JSON.parse(byId("photos").textContent);
const photos = run.photos.map((photo, index) => {
  const metrics = Object.fromEntries(Object.entries(photo.metrics).map(([key, value]) => [key, number(value)]));
  return { ...photo, index, metrics, misfit: number(photo.misfit), residual: number(photo.residual), lower: photo.name.toLowerCase() };
});
const PAGE = 60;
const FITS = ["misfit", "residual"];
const view = { found: photos, page: 0, index: -1, at: 50, against: "measurement" };

function element(tag, attributes = {}, ...children) {
  const made = document.createElement(tag);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  made.append(...children);
  return made;
}

const opened = new Map(); // details that were read, the latest few hundred
function details(index) {
  if (!opened.has(index)) {
    if (opened.size > 300) opened.delete(opened.keys().next().value);
    opened.set(index, JSON.parse(byId(`photo-${index}`).textContent));
  }
  return opened.get(index);
}

function said(key, value) {
  if (value === null || value === undefined) return "–";
  if (!Number.isFinite(value)) return Number.isNaN(value) ? "not a number" : value > 0 ? "∞" : "−∞";
  if (key === "psnr") return `${value.toFixed(1)} dB`;
  return FITS.includes(key) ? String(Number(value.toPrecision(3))) : value.toFixed(3);
}

// ---- the gallery

function value(photo, key) {
  const found = FITS.includes(key) ? photo[key] : photo.metrics[key];
  return found === undefined || Number.isNaN(found) ? null : found;
}

function sorted(list, sort) {
  const [key, direction] = JSON.parse(sort);
  if (key === "name") return direction > 0 ? list : [...list].reverse();
  return [...list].sort((one, other) => {
    const [a, b] = [value(one, key), value(other, key)];
    if (a === null || b === null) return (a === null) - (b === null); // those without a value stand last, either way
    return a === b ? 0 : (a < b ? -1 : 1) * direction;
  });
}

function find() {
  const query = byId("query").value.trim().toLowerCase();
  const status = byId("status").value;
  const stopped = byId("stopped").value;
  const kept = photos.filter(
    (photo) => photo.lower.includes(query) && (!status || photo.status === status) && (!stopped || photo.stopped === stopped),
  );
  view.found = sorted(kept, byId("sort").value);
  view.page = 0;
  if (view.found.length && !view.found.some((photo) => photo.index === view.index)) choose(view.found[0].index);
  gallery();
}

function tile(photo) {
  const [key] = JSON.parse(byId("sort").value);
  const shown = key === "name" ? "psnr" in photo.metrics ? "psnr" : "misfit" : key;
  const remark = photo.status === "failed" ? photo.reason : said(shown, value(photo, shown));
  const pictures = details(photo.index).pictures;
  const picture = pictures.restored ?? pictures.measurement;
  const face = element("span", { class: "face" });
  if (photo.status === "failed") face.append("failed");
  else if (picture) face.append(image(picture, ""));
  const label = `${photo.name}, ${photo.status === "failed" ? `failed: ${photo.reason}` : `${shown} ${remark}`}`;
  const made = element("div", { class: `tile ${photo.status}`, role: "option", tabindex: -1, "aria-label": label, title: photo.status === "failed" ? `${photo.name}: ${photo.reason}` : photo.name, "data-index": photo.index });
  made.append(face, element("span", { class: "label" }, photo.name.split("/").pop()), element("span", { class: "remark" }, remark));
  return made;
}

function gallery() {
  const first = view.page * PAGE;
  const shown = view.found.slice(first, first + PAGE);
  const total = view.found.length;
  byId("tiles").replaceChildren(...shown.map(tile));
  byId("count").textContent = total === photos.length ? `${total.toLocaleString("en")} photo${total === 1 ? "" : "s"}` : total ? `${total.toLocaleString("en")} of ${photos.length.toLocaleString("en")} photos` : "No photo fits these filters.";
  byId("paging").hidden = total <= PAGE;
  byId("range").textContent = `${(first + 1).toLocaleString("en")}–${(first + shown.length).toLocaleString("en")}`;
  byId("earlier").disabled = first === 0;
  byId("later").disabled = first + PAGE >= total;
  mark();
}

function mark() {
  let marked = null;
  for (const each of byId("tiles").children) {
    const own = Number(each.dataset.index) === view.index;
    each.setAttribute("aria-selected", own);
    each.tabIndex = own ? 0 : -1;
    if (own) marked = each;
  }
  if (!marked && byId("tiles").firstChild) byId("tiles").firstChild.tabIndex = 0;
  const place = view.found.findIndex((photo) => photo.index === view.index);
  byId("place").textContent = place < 0 ? "" : `${(place + 1).toLocaleString("en")} of ${view.found.length.toLocaleString("en")}`;
  byId("previous").disabled = place <= 0;
  byId("next").disabled = place + 1 >= view.found.length;
  return marked;
}

function move(by, focus) {
  const place = view.found.findIndex((photo) => photo.index === view.index);
  const next = Math.min(Math.max(place + by, 0), view.found.length - 1);
  if (next < 0) return;
  byId("name").setAttribute("aria-live", focus ? "off" : "polite"); // the focused photo is read out anyway
  choose(view.found[next].index);
  if (Math.floor(next / PAGE) !== view.page) {
    view.page = Math.floor(next / PAGE);
    gallery();
  }
  const marked = mark();
  if (focus) marked.focus();
  else marked.scrollIntoView({ block: "nearest" });
}

function columns() {
  return getComputedStyle(byId("tiles")).gridTemplateColumns.split(" ").length;
}

// ---- one photo

function image(picture, alt, result) {
  const made = element("img", { src: picture.src, alt, width: picture.width, height: picture.height, draggable: "false" });
  made.classList.toggle("plain", plain(picture, result));
  return made;
}

function plain(picture, result) { // each measured pixel is to be seen
  return Math.max(picture.width, picture.height) <= 32 || picture.width < (result?.width ?? 0);
}

function choose(index) {
  view.index = index;
  const photo = photos[index];
  const found = details(index);
  byId("name").textContent = photo.name;
  byId("failure").hidden = photo.status !== "failed";
  byId("failure").replaceChildren(element("b", {}, "Not restored"), photo.reason);
  comparison(photo, found.pictures);
  strip(found);
  numbers(photo);
  curve(found.history.map(number));
  const sentences = [...found.diagnosis, ...found.notes, photo.stopped && `search ended: ${photo.stopped}`].filter(Boolean);
  byId("sentences").replaceChildren(...sentences.map((sentence) => element("li", {}, sentence)));
  terms(byId("facts"), Object.entries(found.facts).filter(([, fact]) => fact !== null));
}

function comparison(photo, pictures) {
  const kinds = ["measurement", "original", "spread"].filter((kind) => pictures[kind]);
  const kind = kinds.includes(view.against) ? view.against : kinds[0];
  byId("slider").hidden = !pictures.restored;
  byId("slider").classList.toggle("single", !kind);
  byId("against").hidden = kinds.length < 2 || !pictures.restored;
  if (!pictures.restored) return;
  layer(byId("after"), pictures.restored, `${photo.name}, restored`, pictures.restored);
  if (!kind) return byId("before").removeAttribute("src");
  layer(byId("before"), pictures[kind], `${photo.name}, ${kind}`, pictures.restored);
  byId("before-tag").textContent = kind;
  const choices = kinds.map((each) => {
    const button = element("input", { type: "radio", name: "against", value: each });
    button.checked = each === kind;
    return element("label", {}, button, element("span", {}, each));
  });
  const held = document.activeElement?.name === "against";
  byId("against").replaceChildren(byId("against").firstElementChild, ...choices);
  if (held) byId("against").querySelector(":checked").focus();
  slide(view.at);
}

function layer(place, picture, alt, result) {
  place.src = picture.src;
  place.alt = alt;
  place.classList.toggle("plain", plain(picture, result));
  byId("slider").style.setProperty("--ratio", result.width / result.height);
}

function slide(at) {
  view.at = Math.min(Math.max(at, 0), 100);
  byId("slider").style.setProperty("--at", `${view.at}%`);
  byId("divide").value = view.at;
  const kind = byId("before-tag").textContent;
  byId("divide").setAttribute("aria-valuetext", `${kind} on the left ${Math.round(view.at)} percent, restored on the rest`);
  byId("slider").classList.toggle("far-left", view.at < 22);
  byId("slider").classList.toggle("far-right", view.at > 78);
}

function strip({ pictures, files }) {
  const items = Object.entries(pictures).map(([kind, picture]) => {
    const face = element("a", { href: picture.file, target: "_blank", rel: "noopener", title: "Open the file, where it lies beside this page" });
    face.append(image(picture, `${kind}, opens the file at its full size`, pictures.restored));
    return element("li", {}, face, element("span", {}, kind));
  });
  const others = Object.entries(files).map(([kind, file]) => element("li", { class: "other" }, element("code", {}, file), element("span", {}, kind)));
  byId("pictures").replaceChildren(...items, ...others);
}

function numbers(photo) {
  const rows = Object.entries(photo.metrics).map(([key, each]) => [key, each, number(run.medians[photo.group][key])]);
  for (const key of FITS) if (photo[key] !== null) rows.push([key, photo[key], null]);
  byId("metrics").replaceChildren(
    ...rows.map(([key, each, median]) => {
      const made = element("div", {}, element("dt", {}, key), element("dd", {}, said(key, each)));
      if (median !== null && photos.length > 1) made.append(element("dd", { class: "median" }, `median ${said(key, median)}`));
      return made;
    }),
  );
}

function terms(list, rows) {
  list.replaceChildren(...rows.map(([key, fact]) => element("div", {}, element("dt", {}, key), element("dd", {}, String(fact)))));
}

function curve(history) {
  const drawn = byId("curve");
  const points = history.filter((misfit) => Number.isFinite(misfit) && misfit > 0);
  drawn.hidden = points.length < 2 || points.length < history.length;
  drawn.querySelector("svg")?.remove();
  if (drawn.hidden) return;
  const [width, height, edge] = [300, 96, 6];
  const logs = points.map(Math.log); // misfits fall by factors
  const [low, high] = [Math.min(...logs), Math.max(...logs)];
  const x = (i) => edge + ((width - 2 * edge) * i) / (points.length - 1);
  const y = (log) => edge + ((height - 2 * edge) * (high - log)) / (high - low || 1);
  const draw = (tag, attributes) => {
    const made = document.createElementNS("http://www.w3.org/2000/svg", tag);
    for (const [key, each] of Object.entries(attributes)) made.setAttribute(key, each);
    return made;
  };
  const [first, last] = [said("misfit", points[0]), said("misfit", points.at(-1))];
  const label = `misfit ${first} at the start, ${last} at the end`;
  const svg = draw("svg", { viewBox: `0 0 ${width} ${height + 18}`, role: "img", "aria-label": label });
  svg.append(draw("line", { class: "base", x1: edge, x2: width - edge, y1: height, y2: height }));
  svg.append(draw("polyline", { points: logs.map((log, i) => `${x(i).toFixed(1)},${y(log).toFixed(1)}`).join(" ") }));
  svg.append(draw("circle", { cx: x(points.length - 1), cy: y(logs.at(-1)), r: 3 }));
  for (const [at, anchor, text] of [[edge, "start", first], [width - edge, "end", last]]) {
    const words = draw("text", { x: at, y: height + 14, "text-anchor": anchor });
    words.textContent = text;
    svg.append(words);
  }
  drawn.append(svg);
}

// ---- what people do

function dragging(event) {
  if (event.type === "pointerdown") {
    if (event.button) return;
    byId("slider").setPointerCapture(event.pointerId);
    byId("divide").focus({ preventScroll: true });
  } else if (!byId("slider").hasPointerCapture(event.pointerId)) return;
  const frame = byId("slider").getBoundingClientRect();
  slide((100 * (event.clientX - frame.left)) / frame.width);
}

for (const kind of ["pointerdown", "pointermove"]) byId("slider").addEventListener(kind, dragging);
byId("slider").addEventListener("mousedown", (event) => event.preventDefault()); // or the focus would leave the slider again
byId("divide").addEventListener("input", (event) => slide(Number(event.target.value)));
byId("against").addEventListener("change", (event) => {
  view.against = event.target.value;
  comparison(photos[view.index], details(view.index).pictures);
});
byId("previous").addEventListener("click", () => move(-1, false));
byId("next").addEventListener("click", () => move(1, false));
byId("earlier").addEventListener("click", () => (view.page--, gallery()));
byId("later").addEventListener("click", () => (view.page++, gallery()));
byId("show-failed")?.addEventListener("click", () => {
  byId("query").value = byId("stopped").value = "";
  byId("status").value = "failed";
  find();
});
byId("filters").addEventListener("input", find);
byId("filters").addEventListener("submit", (event) => event.preventDefault());
byId("tiles").addEventListener("click", (event) => {
  const chosen = event.target.closest(".tile");
  if (!chosen) return;
  choose(Number(chosen.dataset.index));
  mark();
  if (byId("photo").getBoundingClientRect().bottom < chosen.getBoundingClientRect().top) byId("photo").scrollIntoView({ behavior: "smooth" });
});
byId("tiles").addEventListener("keydown", (event) => {
  const far = view.found.length;
  const by = { ArrowRight: 1, ArrowLeft: -1, ArrowDown: columns(), ArrowUp: -columns(), Home: -far, End: far, PageDown: PAGE, PageUp: -PAGE }[event.key];
  if (by === undefined || event.ctrlKey || event.altKey || event.metaKey) return;
  event.preventDefault();
  move(by, true);
});

// ---- the start

const orders = [["name, A to Z", "name", 1], ["name, Z to A", "name", -1]];
for (const key of [...new Set(run.medians.flatMap(Object.keys)), ...FITS]) orders.push([`${key}, low to high`, key, 1], [`${key}, high to low`, key, -1]);
byId("sort").replaceChildren(...orders.map(([label, ...order]) => element("option", { value: JSON.stringify(order) }, label)));
const reasons = new Map();
for (const { stopped } of photos) if (stopped) reasons.set(stopped, (reasons.get(stopped) ?? 0) + 1);
for (const [reason, count] of reasons) byId("stopped").append(element("option", { value: reason }, `${reason} (${count.toLocaleString("en")})`));
byId("stopped").closest("label").hidden = reasons.size < 2;
byId("filters").hidden = photos.length < 4;
view.index = (photos.find((photo) => photo.status === "done") ?? photos[0]).index;
choose(view.index);
find();
