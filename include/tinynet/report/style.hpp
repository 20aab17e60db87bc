#pragma once

#include <tinynet/core/config.hpp>

namespace tinynet::inline TINYNET_ABI::report {

/// The style sheet of a report: light and dark as the reader's system is, light on paper.
inline constexpr const char* style = R"css(
:root { color-scheme: light; --page: #f6f5f1; --card: #ffffff; --ink: #16150f; --soft: #57564f;
  --faint: #8b8980; --grid: #e6e4dc; --axis: #bdbbb1; --s0: #2a6fd1; --s1: #e0662b; --s2: #1a9f74;
  --s3: #8a5cc9; --warn: #c9432f; --edge: #e3e1d8; --over: #ffffff; }
@media screen and (prefers-color-scheme: dark) { :root { color-scheme: dark; --page: #121211;
  --card: #1b1b19; --ink: #f4f3ee; --soft: #c0beb4; --faint: #8e8c83; --grid: #2b2b28; --axis: #45443f;
  --s0: #4a90ec; --s1: #ee7f45; --s2: #2fbd8d; --s3: #a880e4; --warn: #ec6a55; --edge: #2e2e2a; } }
* { box-sizing: border-box; }
body { margin: 0; background: var(--page); color: var(--ink);
  font: 15px/1.5 system-ui, -apple-system, "Segoe UI", Roboto, "Helvetica Neue", sans-serif; }
main { max-width: 1160px; margin: 0 auto; padding: 36px 20px 64px; }
h1 { font-size: 27px; line-height: 1.2; letter-spacing: -0.01em; margin: 0 0 4px; }
h2 { font-size: 18px; margin: 38px 0 12px; letter-spacing: -0.005em; }
p { margin: 0 0 10px; max-width: 78ch; }
p.lead { color: var(--soft); }
section > p { color: var(--soft); }
.card, figure { background: var(--card); border: 1px solid var(--edge); border-radius: 10px;
  padding: 16px 18px; margin: 0; }
.grid { display: grid; gap: 14px; grid-template-columns: repeat(auto-fit, minmax(320px, 1fr)); }
.wide { grid-template-columns: repeat(auto-fit, minmax(440px, 1fr)); align-items: start; }
.tiles { display: grid; gap: 12px; grid-template-columns: repeat(auto-fit, minmax(150px, 1fr));
  margin: 22px 0 14px; }
.tile { background: var(--card); border: 1px solid var(--edge); border-radius: 10px;
  padding: 12px 16px 13px; }
.tile b { display: block; font-size: 25px; font-weight: 650; line-height: 1.3;
  letter-spacing: -0.015em; }
.tile span { color: var(--soft); font-size: 13px; display: block; }
.tile small { color: var(--faint); font-size: 12px; }
.tile.first b { color: var(--s0); }
ul.notes { margin: 0 0 4px; padding: 0; list-style: none; }
ul.notes li { border-left: 3px solid var(--s0); padding: 2px 0 2px 12px; margin: 8px 0;
  color: var(--soft); max-width: 90ch; }
ul.notes li.warning { border-color: var(--warn); color: var(--ink); }
figcaption { font-weight: 600; font-size: 14px; margin-bottom: 8px; }
svg { display: block; width: 100%; height: auto; }
svg text { fill: var(--soft); font-size: 11px; font-variant-numeric: tabular-nums; }
.end { text-anchor: end; } .middle { text-anchor: middle; }
svg text.label { fill: var(--faint); } svg text.name { font-size: 11.5px; fill: var(--ink); }
svg text.value { fill: var(--ink); font-size: 11px; }
line.grid { stroke: var(--grid); stroke-width: 1; } line.axis { stroke: var(--axis); }
polyline.line { fill: none; stroke-width: 2; stroke-linejoin: round; stroke-linecap: round; }
.line.reference { stroke: var(--axis); stroke-width: 1.5; stroke-dasharray: 4 4; }
.line.s0 { stroke: var(--s0); } .line.s1 { stroke: var(--s1); } .line.s2 { stroke: var(--s2); }
.line.s3 { stroke: var(--s3); } .dot { stroke: var(--card); stroke-width: 1.5; }
.ghost { fill: transparent !important; }
.s0 { fill: var(--s0); } .s1 { fill: var(--s1); } .s2 { fill: var(--s2); } .s3 { fill: var(--s3); }
.bar.marked { fill: var(--s1); } .whisker { stroke: var(--ink); stroke-width: 1.2; }
.right { fill: var(--s0); } .wrong { fill: var(--s1); } .nothing { fill: var(--grid); opacity: 0.45; }
svg text.count { text-anchor: middle; font-size: 11px; fill: var(--ink); }
svg text.over { fill: var(--over); }
.legend { display: flex; flex-wrap: wrap; gap: 4px 16px; font-size: 12.5px; color: var(--soft);
  margin-bottom: 6px; }
.legend i { display: inline-block; width: 14px; height: 4px; border-radius: 2px; margin-right: 6px;
  vertical-align: 3px; }
i.s0 { background: var(--s0); } i.s1 { background: var(--s1); } i.s2 { background: var(--s2); }
i.s3 { background: var(--s3); } i.reference { background: var(--axis); }
table { border-collapse: collapse; width: 100%; font-size: 13.5px;
  font-variant-numeric: tabular-nums; }
th { text-align: right; font-weight: 600; color: var(--soft); font-size: 12.5px; }
td { text-align: right; }
th, td { padding: 4px 0 4px 14px; border-bottom: 1px solid var(--edge); white-space: nowrap; }
th.text, td.text { text-align: left; padding-left: 0; padding-right: 14px; }
td.text { white-space: normal; overflow-wrap: anywhere; }
tr:last-child td { border-bottom: 0; }
tr.total td { font-weight: 600; }
.scroll { overflow-x: auto; }
table.facts td { white-space: normal; overflow-wrap: anywhere; text-align: left; }
table.facts td:first-child { color: var(--soft); width: 11em; padding-left: 0; }
code, pre { font: 12.5px/1.5 ui-monospace, "SF Mono", Menlo, Consolas, monospace; }
pre { margin: 0; white-space: pre-wrap; color: var(--soft); }
.sheet { display: grid; gap: 6px; align-items: center; font-size: 12px; color: var(--faint); }
.sheet img, .mistakes img { width: 100%; display: block; border-radius: 4px; background: #000;
  image-rendering: pixelated; }
.sheet .head { overflow: hidden; text-overflow: ellipsis; white-space: nowrap; text-align: center; }
.mistakes { display: grid; gap: 16px 14px;
  grid-template-columns: repeat(auto-fill, minmax(104px, 1fr)); }
.mistakes div { font-size: 12.5px; line-height: 1.35; overflow-wrap: anywhere; }
.mistakes img { margin-bottom: 6px; }
.mistakes b { color: var(--warn); font-weight: 600; } .mistakes small { color: var(--faint); }
details { margin-top: 12px; }
.stack { display: grid; gap: 14px; min-width: 0; }
details summary { cursor: pointer; color: var(--soft); margin-bottom: 8px; }
footer { margin-top: 40px; color: var(--faint); font-size: 12.5px; }
@media (max-width: 520px) { .wide, .grid { grid-template-columns: 1fr; } }
@media print { body { font-size: 12px; background: #fff; } main { padding: 0; max-width: none; }
  * { print-color-adjust: exact; -webkit-print-color-adjust: exact; }
  figure, .card, .tile, tr, .mistakes div { break-inside: avoid; } h2 { break-after: avoid; } }
)css";

}  // namespace tinynet::inline TINYNET_ABI::report
