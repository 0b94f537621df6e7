import { Markup } from './markup.ts'

/*
 * Colours after Okabe and Ito, who chose them to be told apart with any colour vision; each state has a sign and a word
 * besides. Ink on ground is at least 7:1, quiet ink 4.5:1, lines and signs 3:1.
 */
const css = `
:root{color-scheme:light dark;--ground:#f6f7f8;--sheet:#fff;--ink:#14202b;--quiet:#52606d;--line:#d5dbe1;--faint:#e9edf0;
--blue:#0072b2;--green:#00795a;--red:#c14a00;--purple:#9a4a7c;--amber:#8a6200;--sign:#fff;--reference:#7495ae;--candidate:#c14a00;--layer:#7495ae;--link:#005c91}
@media (prefers-color-scheme:dark){:root{--ground:#10161c;--sheet:#182029;--ink:#e8edf2;--quiet:#a3b0bc;--line:#34414d;--faint:#222c36;
--blue:#56b4e9;--green:#2dc79c;--red:#ff8a47;--purple:#e29ac4;--amber:#f0b429;--sign:#10161c;--reference:#5a7f99;--candidate:#ff8a47;--layer:#5a7f99;--link:#7cc5f0}}
*{box-sizing:border-box}
html{scroll-behavior:auto;-webkit-text-size-adjust:100%}
body{margin:0 auto;max-width:1260px;padding:2.5rem 1.5rem 4rem;background:var(--ground);color:var(--ink);font:16px/1.5 system-ui,-apple-system,"Segoe UI",Roboto,"Noto Sans",sans-serif;overflow-wrap:anywhere}
a{color:var(--link)}
h1,h2,h3,h4{line-height:1.2;margin:0;font-weight:650}
h1{font-size:clamp(1.6rem,1.2rem + 2vw,2.4rem);letter-spacing:-.015em}
h2{font-size:1.35rem;letter-spacing:-.01em}
h3{font-size:1.05rem;margin:1.8rem 0 .5rem}
h4{font-size:1rem;margin:1rem 0 .4rem}
p{margin:.4rem 0;max-width:75ch}
code,pre{font:.86em/1.45 ui-monospace,"SF Mono",Menlo,Consolas,"DejaVu Sans Mono",monospace}
pre{margin:.4rem 0;padding:.6rem .8rem;background:var(--faint);border-radius:6px;white-space:pre-wrap;max-height:24em;overflow:auto}
section{margin-top:2.5rem}
section>h2{margin-bottom:.9rem}
.skip{position:absolute;left:-999px}.skip:focus{left:1rem;top:1rem;background:var(--sheet);padding:.4rem .8rem}
.eyebrow{margin:0 0 .3rem;color:var(--quiet);font-size:.8rem;letter-spacing:.08em;text-transform:uppercase}
.lead{color:var(--quiet);font-size:1.05rem}
.note{color:var(--quiet);font-size:.85rem}
.state-ready{--state:var(--green)}.state-unproven{--state:var(--blue)}.state-inconclusive{--state:var(--amber)}.state-rejected{--state:var(--red)}.state-failed{--state:var(--purple)}
.badge{display:inline-flex;align-items:center;gap:.35rem;font-weight:600;font-size:.9rem;white-space:nowrap}
.numbers .badge{font-size:1em}.badge svg{width:1.15em;height:1.15em;flex:none}
.fill{fill:var(--state)}.hollow{fill:none;stroke:var(--state);stroke-width:2}
.sign{fill:none;stroke:var(--sign);stroke-width:2.2;stroke-linecap:round;stroke-linejoin:round}
.mark{fill:none;stroke:var(--state);stroke-width:2;stroke-linecap:round}
.cards{list-style:none;margin:0;padding:0;display:grid;gap:.9rem;grid-template-columns:repeat(auto-fill,minmax(min(100%,21rem),1fr))}
.card{background:var(--sheet);border:1px solid var(--line);border-left:5px solid var(--state);border-radius:8px;padding:.9rem 1.1rem;break-inside:avoid;display:flex;flex-direction:column}
.card-head,.variant-head{display:flex;flex-wrap:wrap;gap:.3rem .8rem;align-items:baseline;justify-content:space-between}
.card h3,.card h4{margin:0;font-size:1.05rem}
.card p{font-size:.93rem}
.card h3 a{color:inherit;text-decoration-color:var(--line);text-underline-offset:.2em}
.card .facts{font-size:.87rem;margin-top:auto;padding-top:.35rem;color:var(--quiet);display:flex;flex-wrap:wrap;gap:.1rem .4rem;font-variant-numeric:tabular-nums}
.facts span:not(:last-child)::after{content:"\\00b7";margin-left:.4rem}
.narrow{display:none}
.warnings{background:var(--sheet);border:1px solid var(--line);border-left:5px solid var(--amber);border-radius:8px;padding:1rem 1.2rem}
.warnings h2{font-size:1.05rem;margin-bottom:.3rem}.warnings ul{margin:0;padding-left:1.2rem}
.scroll{overflow-x:auto;background:var(--sheet);border:1px solid var(--line);border-radius:8px}
.scroll:focus-visible,summary:focus-visible,a:focus-visible{outline:2px solid var(--link);outline-offset:2px}
table{border-collapse:collapse;font-size:.88rem;width:100%;overflow-wrap:normal}
th,td{padding:.5rem .65rem;text-align:left;vertical-align:baseline;border-bottom:1px solid var(--faint)}
tbody tr:last-child>*{border-bottom:0}
thead th{color:var(--quiet);font-weight:600;font-size:.8rem;white-space:nowrap;border-bottom:1px solid var(--line);vertical-align:bottom}
tbody th{font-weight:600;max-width:22em;overflow-wrap:anywhere}.numbers tbody th{min-width:7.5em}
.numbers td{white-space:nowrap;font-variant-numeric:tabular-nums}
.numbers .words{white-space:normal;min-width:24em}
.numbers.layers th[scope=row]{font-weight:400;min-width:11em;overflow-wrap:anywhere}
td small,th small{display:block;font-weight:400;color:var(--quiet);font-size:.78rem;white-space:nowrap}
.missed{font-weight:650}
.numbers thead th:first-child,.numbers tbody th:first-child{position:sticky;left:0;background:var(--sheet)}
.figures{display:grid;gap:.9rem;margin-top:.9rem;grid-template-columns:repeat(auto-fill,minmax(min(100%,20.5rem),1fr))}
figure{margin:0;background:var(--sheet);border:1px solid var(--line);border-radius:8px;padding:.8rem .9rem .7rem;break-inside:avoid}
figcaption{font-weight:600;font-size:.92rem;margin-bottom:.5rem}
figure svg{display:block;width:100%;height:auto;max-width:560px;margin:0 auto}
.breaks{display:grid;gap:.9rem;margin-top:.9rem;align-items:start;grid-template-columns:repeat(auto-fit,minmax(min(100%,24rem),1fr))}.breaks figure svg{max-width:640px}
.legend{display:flex;gap:1rem;margin:0 0 .3rem;font-size:.82rem;color:var(--quiet)}.legend span{display:inline-flex;align-items:center;gap:.4rem}.legend svg{width:16px;height:10px;margin:0}
svg text{font:11px system-ui,-apple-system,"Segoe UI",Roboto,"Noto Sans",sans-serif;fill:var(--ink);font-variant-numeric:tabular-nums}
svg .tick text,svg .axis-label text{fill:var(--quiet)}
svg .end{text-anchor:end}svg .middle{text-anchor:middle}svg .number{font-weight:700;fill:var(--red)}svg .value{fill:var(--quiet)}
.grid path{stroke:var(--faint);fill:none}.axis{stroke:var(--quiet);fill:none}
.reference-line{stroke:var(--quiet);stroke-dasharray:4 3;fill:none}.leader{stroke:var(--quiet);stroke-width:.6;fill:none}.halo{paint-order:stroke;stroke:var(--sheet);stroke-width:3px;stroke-linejoin:round}
.bar{fill:var(--state)}.bar-reference rect,.swatch-reference{fill:var(--reference)}.step-candidate{fill:none;stroke:var(--candidate);stroke-width:1.6}
.bar-error rect{fill:var(--candidate)}.dots circle{fill:var(--blue);fill-opacity:.55}
.bar-layer{fill:var(--layer)}.bar-worst{fill:var(--red)}
.variant{border-top:1px solid var(--line);padding-top:2rem}
.variant-head{justify-content:flex-start;align-items:center}
.runtimes{list-style:none;margin:0;padding:0}.runtimes li{display:flex;gap:.6rem;margin:.25rem 0}.runtimes .mark{font-weight:700}
.chips{list-style:none;margin:.5rem 0;padding:0;display:flex;flex-wrap:wrap;gap:.4rem}.chips li{background:var(--faint);border-radius:5px;padding:.1rem .5rem;font-size:.86rem}
details{margin-top:.6rem;border:1px solid var(--line);border-radius:8px;background:var(--sheet);padding:.1rem .9rem}
summary{cursor:pointer;padding:.55rem 0;font-weight:600;font-size:.92rem}
details>:not(summary){margin-bottom:.8rem}
.attempts{padding-left:1.3rem}
dl{margin:.4rem 0}dl div{display:grid;grid-template-columns:minmax(9rem,14rem) 1fr;gap:.1rem 1rem;padding:.35rem 0;border-bottom:1px solid var(--faint)}
dt{color:var(--quiet)}dd{margin:0}
footer{margin-top:3rem;border-top:1px solid var(--line);color:var(--quiet);font-size:.85rem}
@media screen and (max-width:1200px){.narrow{display:block}}
@media (max-width:560px){body{padding:1.4rem .9rem 3rem}dl div{grid-template-columns:1fr}.card{padding:.8rem .9rem}section{margin-top:2rem}}
@media print{:root{color-scheme:light;--ground:#fff;--sheet:#fff;--ink:#000;--quiet:#444;--line:#bbb;--faint:#e5e5e5;--blue:#0072b2;--green:#00795a;--red:#c14a00;--purple:#9a4a7c;--amber:#8a6200;--sign:#fff;--reference:#7495ae;--candidate:#c14a00;--layer:#7495ae;--link:#000}
*{print-color-adjust:exact;-webkit-print-color-adjust:exact}
body{max-width:none;padding:0;font-size:10.5pt}.skip{display:none}.scroll{overflow:visible}table{font-size:7.6pt}td small,th small{font-size:6.8pt}th,td{padding:.25rem .35rem}.numbers td,thead th,td small,th small{white-space:normal}
h2,h3{break-after:avoid}tr{break-inside:avoid}details::details-content{content-visibility:visible;block-size:auto}pre{max-height:none}}
`

export const pageStyle = new Markup(css.replaceAll('\n', ''))
