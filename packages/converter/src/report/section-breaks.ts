import type { LayerError, Proposal } from '../types.ts'
import { layersChart, markedLayers } from './charts-layers.ts'
import { formatBytes, formatDb, formatMs, none, shorten } from './format.ts'
import { type Markup, markup } from './markup.ts'
import { stateBadge } from './state.ts'

/** What was tried for a rejected variant and measured better. */
export function proposalsSection(proposals: readonly Proposal[]): Markup | undefined {
  if (proposals.length === 0) return undefined
  return markup`<h3>Measured better</h3><ul class="cards">${proposals.map(
    ({
      recipe,
      state,
      summary,
      bytes,
      p50Ms
    }) => markup`<li class="card state-${state}"><div class="card-head"><h4>${recipe.name}</h4>${stateBadge(state)}</div>
<p>${summary}</p><p class="facts"><span>${formatBytes(bytes)}</span>${p50Ms !== undefined && markup`<span>${formatMs(p50Ms)}</span>`}</p></li>`
  )}</ul>`
}

/** Where the signal is lost, layer by layer. */
export function layersSection(layers: readonly LayerError[]): Markup | undefined {
  if (layers.length === 0) return undefined
  return markup`<h3>Where it breaks</h3><p>${diagnosis(layers)}</p>
<div class="breaks">${layersChart(layers)}
<div class="scroll" role="region" aria-label="Layers that lose most" tabindex="0"><table class="numbers layers"><thead><tr><th scope="col">#</th><th scope="col">Layer</th><th scope="col">SNR here</th><th scope="col">Lost by itself</th></tr></thead>
<tbody>${layers
    .slice(0, markedLayers)
    .map(
      (layer, index) =>
        markup`<tr><td>${index + 1}</td><th scope="row" title="${layer.tensor}">${shorten(layer.tensor, 70)}<small>${layer.operator}</small></th><td>${layer.snrDb === null ? 'nothing differs' : formatDb(layer.snrDb)}</td><td>${layer.lossDb === null ? none : formatDb(layer.lossDb)}</td></tr>`
    )}</tbody></table></div></div>`
}

/** One layer that loses this much by itself stands out. */
const tellingLossDb = 4

/** What the numbers say, in words. */
export function diagnosis(layers: readonly LayerError[]): string {
  const [worst] = layers
  if (worst === undefined) return 'No layer could be compared.'
  const where = `${shorten(worst.tensor, 70)} (${worst.operator})`
  const left = worst.snrDb === null ? '' : `; ${formatDb(worst.snrDb)} are left after it`
  if (worst.operator === 'INPUT') {
    return `The input itself loses most${left}. The calibration data has values of another range than the data it was compared on, so that real values are cut off. Send calibration data like the real one.`
  }
  if (worst.lossDb !== null && worst.lossDb < tellingLossDb) {
    const last = [...layers].sort((a, b) => b.position - a.position)[0]
    const end = last?.snrDb === null || last === undefined ? '' : `, down to ${formatDb(last.snrDb)} at the end`
    return `No single layer is at fault: the signal is lost little by little along the network${end}. The layer that adds most is ${where}, ${formatDb(worst.lossDb)}.`
  }
  return `${where} loses most by itself${worst.lossDb === null ? '' : `: ${formatDb(worst.lossDb)}`}${left}.`
}
