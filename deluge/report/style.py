"""The page's only style sheet: system fonts, two colour schemes, one column that fits a phone."""

from __future__ import annotations

STYLE = """
:root{color-scheme:light dark;--page:#f7f7f5;--card:#fff;--ink:#1c1c1a;--soft:#5d5c57;--line:#dddcd6;--a:#2a6fc9;--b:#d9532c;
--c:#17936a;--d:#b07d00;--e:#8552bd;--f:#7a7972;--limit:#b3261e}
@media (prefers-color-scheme:dark){:root{--page:#161614;--card:#1f1f1d;--ink:#ecebe6;--soft:#a5a49c;--line:#3a3a36;--a:#6ba5ee;
--b:#f0825f;--c:#3fc093;--d:#dba92e;--e:#b48be0;--f:#8f8e86;--limit:#ff8a80}}
*{box-sizing:border-box}
body{margin:0;background:var(--page);color:var(--ink);font:15px/1.5 system-ui,-apple-system,"Segoe UI",Roboto,sans-serif}
main{max-width:860px;margin:0 auto;padding:20px 14px 48px}
h1{font-size:1.35rem;margin:0 0 2px;overflow-wrap:anywhere}
h2{font-size:1.02rem;margin:0 0 8px}
p{margin:0 0 8px}.soft{color:var(--soft)}
section{background:var(--card);border:1px solid var(--line);border-radius:10px;padding:14px;margin-top:14px}
.tiles{display:grid;grid-template-columns:repeat(auto-fit,minmax(170px,1fr));gap:10px;margin-top:14px}
.tiles div{background:var(--card);border:1px solid var(--line);border-radius:10px;padding:10px 12px;min-width:0}
.tiles b{display:block;font-size:1.2rem;font-weight:600;overflow-wrap:anywhere}.tiles span{color:var(--soft);font-size:.82rem}
svg{display:block;width:100%;height:auto}
svg text{font:11px system-ui,sans-serif;fill:var(--soft)}svg text.limit{fill:var(--limit)}
@media (max-width:560px){svg text{font-size:18px}.tiles{grid-template-columns:repeat(2,minmax(0,1fr))}}
.grid{stroke:var(--line);stroke-width:1}line.limit{stroke:var(--limit);stroke-width:1.5;stroke-dasharray:5 4}
.hit{fill:transparent}g:hover .hit{fill:var(--ink);opacity:.07}
.a{fill:var(--a)}.b{fill:var(--b)}.c{fill:var(--c)}.d{fill:var(--d)}.e{fill:var(--e)}.f{fill:var(--f)}
.legend{list-style:none;display:flex;flex-wrap:wrap;gap:4px 14px;margin:8px 0 0;padding:0;font-size:.85rem;color:var(--soft)}
.legend i{display:inline-block;width:10px;height:10px;border-radius:2px;margin-right:6px}
i.a{background:var(--a)}i.b{background:var(--b)}i.c{background:var(--c)}i.d{background:var(--d)}i.e{background:var(--e)}
i.f{background:var(--f)}
.wide{overflow-x:auto}table{border-collapse:collapse;width:100%;font-size:.9rem}
th,td{text-align:left;padding:5px 10px 5px 0;border-bottom:1px solid var(--line);white-space:nowrap}
th{color:var(--soft);font-weight:500}.n{text-align:right;font-variant-numeric:tabular-nums}
details{border-top:1px solid var(--line);padding:8px 0}summary{cursor:pointer;overflow-wrap:anywhere}
pre{white-space:pre-wrap;overflow-wrap:anywhere;background:var(--page);border-radius:6px;padding:8px;margin:6px 0 0;
font:12.5px/1.45 ui-monospace,SFMono-Regular,Menlo,Consolas,monospace}
"""
