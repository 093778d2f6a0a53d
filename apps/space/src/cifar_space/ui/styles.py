"""The page's style sheet: its own width, and the HTML that the app writes, which carries the class `paper`."""

_PAGE = """
:root { --heat-opacity: 0.5; --tile-opacity: 0.5; }
.gradio-container > .main { width: 100%; max-width: 1280px; margin: 0 auto; }
.paper .html-container, .paper.html-container { padding: 0; }
#layers .wrap label { padding-left: 0; background: none; }
footer .divider { display: none; }
.dark input[type="range"] { --neutral-200: var(--neutral-700); }

/* Beside the answers what was given, and below it what is asked; on a phone the answers come in between. */
.areas {
  display: grid; gap: 1.25rem; align-items: start;
  grid-template: "given found" auto "asked found" 1fr / minmax(300px, 5fr) minmax(0, 8fr);
}
.areas > .given { grid-area: given; min-width: 0 !important; }
.areas > .found { grid-area: found; min-width: 0 !important; }
.areas > .asked { grid-area: asked; min-width: 0 !important; }
@media (max-width: 860px) {
  .areas { grid-template: "given" "found" "asked" / minmax(0, 1fr); }
  .areas.review { grid-template: "given" "asked" "found" / minmax(0, 1fr); }
}

/* Galleries: whole rows of equal thumbnails at any width, under their label, with square pixels. */
#pictures .grid-wrap, #examples .grid-wrap { padding-top: 2.25rem; }
#examples .grid-wrap { height: auto; min-height: 0; max-height: none; overflow: visible; }
#pictures .grid-container, #examples .grid-container {
  grid-template-columns: repeat(5, minmax(0, 1fr)); grid-template-rows: none; grid-auto-rows: auto;
  padding-top: 0;
}
#examples img { image-rendering: pixelated; }
#examples .caption-label { display: none; }
.block.note { padding: 0.75rem 1rem; background: var(--block-background-fill); }
#pager > * { flex: 1 1 0; min-width: 0 !important; }
#pager { flex-wrap: nowrap; align-items: center; max-width: 28rem; margin: 0.5rem auto 0; }
"""

_TEXT = """
/* One selector a rule for `.dark`: Gradio's own prefixes break lists of them. */
.paper {
  --accent: var(--primary-600); --muted: var(--body-text-color-subdued); --rail: var(--neutral-200);
  --bar: var(--neutral-400); --code: var(--neutral-100); --chip: #ffedd5; --chip-ink: #9a3412; --second: #c2570c;
  --cell: 70%;
}
.dark .paper {
  --accent: var(--primary-400); --rail: var(--neutral-700); --bar: var(--neutral-500); --code: var(--neutral-800);
  --chip: #43210f; --chip-ink: #fdba74; --second: #f59e5b; --cell: 50%;
}
.paper h1 { font-size: 1.5rem; font-weight: 650; letter-spacing: -0.01em; margin: 0 0 0.35rem; }
#header p { max-width: 46rem; margin: 0; color: var(--muted); line-height: 1.5; }
.paper h2 { font-size: 1.05rem; font-weight: 600; margin: 0 0 0.75rem; color: inherit; }
.paper p { display: block; margin: 0; font-size: 0.875rem; line-height: 1.5; }
.paper table { border: 0; }
.paper .about { color: var(--muted); }
.paper pre {
  margin: 0; padding: 0.75rem 0.9rem; font-size: 0.8rem; line-height: 1.5;
  background: var(--code); border: 1px solid var(--border-color-primary); border-radius: var(--radius-md);
}
.paper pre code {
  padding: 0; border: 0; background: none; font-size: inherit; color: inherit;
  white-space: pre-wrap; overflow-wrap: anywhere;
}
.paper p + pre, .paper pre + p, .paper p + .chart, .paper p + .cards, .paper img + p { margin-top: 0.75rem; }
.paper summary { cursor: pointer; font-size: 0.875rem; }
.paper details pre { margin-top: 0.75rem; max-height: 24rem; overflow: auto; }
.paper :focus-visible { outline: 2px solid var(--accent); outline-offset: 1px; }
.paper .notice {
  margin: 0; padding: 3.5rem 1.5rem; text-align: center; color: var(--muted);
  border: 1px dashed var(--border-color-primary); border-radius: var(--radius-lg);
}
.paper .notice.alert, .paper .card.refused {
  color: var(--error-text-color); background: var(--error-background-fill);
  border: 1px solid var(--error-border-color);
}
.paper .refused p { margin-top: 0.25rem; color: inherit; }
"""

_CARDS = """
.paper .cards { display: grid; gap: 1rem; }
.paper .card, .paper section {
  padding: 1.1rem 1.25rem; background: var(--block-background-fill);
  border: 1px solid var(--border-color-primary); border-radius: var(--radius-lg);
}
.paper .card header {
  display: flex; flex-wrap: wrap; justify-content: space-between; align-items: baseline; gap: 0.25rem 1rem;
  margin-bottom: 0.9rem;
}
.paper .card h3 { margin: 0; font-size: 0.95rem; font-weight: 600; overflow-wrap: anywhere; color: inherit; }
.paper .hint, .paper .verdict {
  width: fit-content; padding: 0.15rem 0.55rem; border-radius: 999px; font-size: 0.8rem;
  color: var(--chip-ink); background: var(--chip);
}
.paper .hint { margin: 0 0 0.9rem; }
.paper .verdict.own { color: var(--muted); background: var(--code); }

.paper .bars { list-style: none; margin: 0 0 1.1rem; padding: 0; display: grid; gap: 0.55rem; }
.paper .bars li {
  display: grid; grid-template-columns: 1fr auto; gap: 0.2rem 0.75rem; margin: 0; font-size: 0.875rem;
}
.paper .bars.two li, .paper .bars-head { grid-template-columns: 1fr 5.5rem 5.5rem; }
.paper .bars-head {
  display: grid; gap: 0.75rem; margin-bottom: 0.35rem; font-size: 0.75rem; text-align: right;
  color: var(--muted);
}
.paper .bars-head span:first-child { grid-column: 2; }
.paper .value {
  font-variant-numeric: tabular-nums; text-align: right; color: var(--muted);
}
.paper .track {
  display: block; grid-column: 1 / -1; height: 6px; border-radius: 3px; overflow: hidden;
  background: var(--rail);
}
.paper .track > span { display: block; height: 100%; background: var(--bar); }
.paper .bars li:first-child .name { font-weight: 600; }
.paper .bars li:first-child .value { color: inherit; }
.paper .bars li:first-child .track > span, .paper .classes .track > span { background: var(--accent); }

.paper .figures { display: grid; grid-template-columns: repeat(auto-fill, minmax(min(120px, 30%), 1fr)); gap: 0.75rem; }
@media (max-width: 520px) {
  /* Four in two rows of two, instead of three and one. */
  .paper .card .figures:has(> :nth-child(4):last-child) { grid-template-columns: repeat(2, minmax(0, 1fr)); }
}
.paper figure { margin: 0; min-width: 0; }
.paper .stack { position: relative; aspect-ratio: 1; border-radius: var(--radius-sm); overflow: hidden; }
.paper .stack img {
  position: absolute; inset: 0; width: 100%; height: 100%; margin: 0; display: block; border-radius: 0;
}
.paper .photo { image-rendering: pixelated; }
.paper .heat { opacity: var(--heat-opacity); }
.paper .tiles .heat { opacity: var(--tile-opacity); }
.paper figcaption {
  margin-top: 0.35rem; font-size: 0.8rem; color: var(--muted); overflow-wrap: anywhere;
}
"""

_TILES = """
.paper .matrix { width: 100%; table-layout: fixed; border-collapse: separate; border-spacing: 2px; margin: 0; }
.paper .matrix caption {
  caption-side: top; padding: 0 0 0.6rem; text-align: left; font-size: 0.8rem; line-height: 1.4;
  color: var(--muted);
}
.paper .matrix :is(th, td) {
  padding: 0; border: 0; height: 1.9rem; text-align: center; font-size: 0.75rem; font-weight: 400;
  font-variant-numeric: tabular-nums; background: none; color: inherit;
}
.paper .matrix tr { background: none; border: 0; }
.paper .matrix tr > :first-child { width: 5.2rem; }
.paper .matrix thead th { height: 6.2rem; vertical-align: bottom; }
.paper .matrix thead span { writing-mode: vertical-rl; transform: rotate(180deg); }
.paper .matrix tbody th button { justify-content: flex-end; padding-right: 0.4rem; }
.paper .matrix thead th button { align-items: flex-end; padding-bottom: 0.3rem; }
.paper .matrix th span { overflow: hidden; text-overflow: ellipsis; white-space: nowrap; max-height: 5.8rem; }
.paper .matrix button {
  display: flex; align-items: center; justify-content: center; width: 100%; height: 100%; padding: 0;
  border: 0; border-radius: 3px; background: none; color: inherit; font: inherit; cursor: pointer;
}
.paper .matrix td button {
  background: color-mix(in srgb, var(--accent) calc(var(--share) * var(--cell) + 6%), transparent);
}
.paper .matrix button:hover { box-shadow: inset 0 0 0 1px var(--primary-500); }
.paper .matrix button[aria-pressed="true"] { box-shadow: inset 0 0 0 2px var(--body-text-color); font-weight: 700; }
.paper .matrix .right, .paper .matrix .none { color: var(--muted); }
.paper .matrix .none { opacity: 0.5; }

@media (max-width: 860px) {
  .paper .matrix :is(th, td) { font-size: 0.68rem; }
  .paper .matrix td { font-size: 0.6rem; letter-spacing: -0.02em; }
  .paper .matrix { border-spacing: 1px; }
  .paper .matrix tr > :first-child { width: 4.4rem; }
}

.paper .tiles {
  list-style: none; margin: 0.75rem 0 0; padding: 0; display: grid; gap: 0.75rem;
  grid-template-columns: repeat(auto-fill, minmax(150px, 1fr));
}
.paper .tiles.wide { grid-template-columns: repeat(auto-fill, minmax(min(100%, 300px), 1fr)); }
.paper .tile {
  margin: 0; padding: 0.7rem; background: var(--block-background-fill);
  border: 1px solid var(--border-color-primary); border-radius: var(--radius-lg);
}
.paper .tile .figures { grid-template-columns: repeat(auto-fit, minmax(70px, 1fr)); gap: 0.5rem; }
.paper .tile .figures:not(:empty) { margin-bottom: 0.5rem; }
.paper .tile p { font-size: 0.8rem; line-height: 1.45; overflow-wrap: anywhere; }
.paper .tile .verdict { margin-top: 0.4rem; font-size: 0.75rem; }
.paper .tile .said {
  display: grid; grid-template-columns: minmax(0, 1fr) auto; gap: 0 0.5rem; margin: 0.2rem 0; font-size: 0.8rem;
}
@media (max-width: 860px) {
  .paper .tile { padding: 0.6rem; }
  .paper .tile .said { font-size: 0.75rem; gap: 0 0.25rem; }
}
.paper .tile .said dt { overflow-wrap: anywhere; }
.paper .tile :is(.said dd, figure:first-child figcaption) { white-space: nowrap; }
.paper .tile .said dd { font-variant-numeric: tabular-nums; text-align: right; }
.paper .tile figcaption { margin-top: 0.2rem; font-size: 0.75rem; }
"""

_MODEL = """
.paper .sections { columns: 2 460px; column-gap: 1rem; }
.paper .sections.one { columns: 1; }
.paper .sections > section { break-inside: avoid; margin: 0 0 1rem; }
.paper .facts, .paper .metrics { margin: 0; font-size: 0.875rem; }
.paper .facts > div {
  display: grid; grid-template-columns: minmax(0, 2fr) minmax(0, 4fr); gap: 0.25rem 1rem; padding: 0.35rem 0;
  border-top: 1px solid var(--border-color-primary);
}
.paper .facts > div:first-child { border-top: 0; padding-top: 0; }
.paper dt { color: var(--muted); font-weight: 400; }
.paper dd { margin: 0; overflow-wrap: anywhere; }
.paper .metrics { display: grid; grid-template-columns: repeat(auto-fill, minmax(110px, 1fr)); gap: 0.75rem; }
.paper .metrics > div { display: flex; flex-direction: column-reverse; justify-content: flex-end; }
.paper .metrics dd { font-size: 1.25rem; font-weight: 600; font-variant-numeric: tabular-nums; }
.paper .classes { width: 100%; border-collapse: collapse; margin: 0; font-size: 0.875rem; }
.paper .classes tr { background: none; border: 0; }
.paper .classes :is(th, td) { padding: 0.3rem 0.75rem 0.3rem 0; border: 0; text-align: left; font-weight: 400; }
.paper .classes :is(thead th, small) { vertical-align: bottom; color: var(--muted); }
.paper .classes small { display: block; font-size: 0.75rem; }
.paper .classes tbody th { width: 25%; overflow-wrap: break-word; }
.paper .classes .value { display: block; text-align: left; margin-bottom: 0.15rem; }
.paper .chart { display: flex; flex-wrap: wrap; gap: 1rem 2rem; align-items: center; }
.paper .reliability { width: 100%; max-width: 340px; height: auto; color: var(--muted); }
.paper .reliability text { font-size: 11px; fill: currentColor; }
.paper .reliability .grid { stroke: var(--border-color-primary); }
.paper .reliability .ideal { stroke: currentColor; stroke-dasharray: 3 4; }
.paper .reliability polyline { fill: none; stroke-width: 1.5; }
.paper .reliability .plain polyline { stroke: var(--second); }
.paper .reliability .plain circle { fill: var(--second); fill-opacity: 0.75; }
.paper .reliability .calibrated polyline { stroke: var(--accent); }
.paper .reliability .calibrated circle { fill: var(--accent); fill-opacity: 0.75; }
.paper .legend { list-style: none; margin: 0; padding: 0; font-size: 0.875rem; }
.paper .legend li { margin: 0.25rem 0; }
.paper .legend li::before {
  content: ""; display: inline-block; width: 0.7rem; height: 0.7rem; margin-right: 0.5rem; border-radius: 50%;
  background: var(--second);
}
.paper .legend .calibrated::before { background: var(--accent); }
.paper img.report { display: block; width: 100%; max-width: 900px; height: auto; margin: 0.75rem 0 0; }
.paper h2 + img.report, .paper h2 + img.by-day + img.by-night { margin-top: 0; }
.paper img.by-night { display: none; }
.dark .paper img.by-day { display: none; }
.dark .paper img.by-night { display: block; }
"""

#: Style sheet of the page.
CSS = _PAGE + _TEXT + _CARDS + _TILES + _MODEL
