import type { ConversionResult, ParityOutput, Tolerance, VariantResult } from '../types.ts'
import { accuracyChart, sizesChart, snrChart } from './charts-overview.ts'
import { formatBytes, formatCount, formatDb, formatMs, formatNumber, formatShare, none } from './format.ts'
import { type Markup, markup } from './markup.ts'
import { bestP50Ms, floatBytes, largestError, snrDbOf, worstOf, worstSnrDb } from './measures.ts'
import { stateBadge, stateMeanings } from './state.ts'

/** One card per variant: its state in a word, and why in a sentence. */
export function verdicts({ variants }: ConversionResult): Markup {
  const original = floatBytes(variants)
  return markup`<section aria-labelledby="verdicts"><h2 id="verdicts">Verdicts</h2><ul class="cards">${variants.map(
    (variant, index) => markup`<li class="card state-${variant.state}">
<div class="card-head"><h3><a href="#variant-${index}">${variant.variant}</a></h3>${stateBadge(variant.state)}</div>
<p>${variant.reason ?? stateMeanings[variant.state]}</p>
<p class="facts">${facts(variant, original)}</p></li>
`
  )}</ul></section>`
}

function facts(variant: VariantResult, original: number | undefined): Markup[] {
  const { bytes, parity } = variant
  const ms = bestP50Ms(variant)
  const db = worstSnrDb(parity)
  const smaller = bytes !== undefined && original !== undefined && bytes < original
  return [
    ...(bytes === undefined ? [] : [formatBytes(bytes)]),
    ...(smaller ? [`${(original / bytes).toFixed(1)}\u00D7 smaller`] : []),
    ...(db === undefined ? [] : [Number.isFinite(db) ? formatDb(db) : 'nothing differs']),
    ...(ms === undefined ? [] : [formatMs(ms)])
  ].map((text) => markup`<span>${text}</span>`)
}

export function warnings({ warnings: list }: ConversionResult): Markup | undefined {
  if (list.length === 0) return undefined
  return markup`<section class="warnings" aria-labelledby="warnings"><h2 id="warnings">Warnings</h2><ul>${list.map((text) => markup`<li>${text}</li>`)}</ul></section>`
}

export function overviewCharts(result: ConversionResult): Markup {
  const charts = [sizesChart(result), snrChart(result), accuracyChart(result)]
  return markup`<div class="figures">${charts}</div>`
}

/** Variant by measure. */
export function comparison(result: ConversionResult): Markup {
  const { variants } = result
  const runtimes = [...new Set(variants.flatMap((variant) => variant.runtimes.map(({ name }) => name)))]
  const original = floatBytes(variants)
  const has = (test: (variant: VariantResult) => boolean) => variants.some(test)
  const top5 = has(({ parity }) => worstOf(parity, 'agreementTop5', Math.min) !== undefined)
  const labelled = has(({ parity }) => parity?.accuracy !== undefined)
  const head = (text: string, more?: string) =>
    markup`<th scope="col">${text}${more !== undefined && markup`<small>${more}</small>`}</th>`
  return markup`<section aria-labelledby="comparison"><h2 id="comparison">Side by side</h2>
<div class="scroll" role="region" aria-labelledby="comparison" tabindex="0"><table class="numbers">
<thead><tr>${head('Variant')}${head('State')}${head('Size', 'of float32')}${head('SNR')}${head('Agreement')}${top5 && head('Top 5')}${
    labelled && head('Accuracy', 'original \u2192 variant')
  }${head('Error', 'largest, mean')}${runtimes.map((name) => head(name, 'p50, 1 thread'))}${head('MACs', 'peak memory')}</tr></thead>
<tbody>${variants.map(
    (
      variant,
      index
    ) => markup`<tr><th scope="row"><a href="#variant-${index}">${variant.variant}</a></th><td>${stateBadge(variant.state)}</td>
<td>${formatBytes(variant.bytes)}${ratio(variant.bytes, original)}</td>${measureCells(variant, { top5, labelled })}
${runtimes.map((name) => runtimeCell(variant, name))}<td>${formatCount(variant.estimate?.macs)}${variant.estimate !== undefined && markup`<small>${formatBytes(variant.estimate.peakMemoryBytes)}</small>`}</td></tr>
`
  )}</tbody></table></div>
<p class="note narrow">Scroll the table sideways for more.</p><p class="note">SNR: mean-removed, of the worst output; agreement: share of clear decisions that stay the same. \u2717 marks what a variant that did not pass fell short of; where labels are given, accuracy decides. Latency is of this machine, an indication: another variant may have been made meanwhile.</p>
</section>`
}

const ratio = (bytes: number | undefined, original: number | undefined): Markup | false =>
  bytes !== undefined && original !== undefined && markup`<small>${formatShare(bytes / original)}</small>`

function measureCells({ parity }: VariantResult, { top5, labelled }: { top5: boolean; labelled: boolean }): Markup {
  const db = worstSnrDb(parity)
  const accuracy = parity?.accuracy
  const tolerance: Tolerance = parity?.outputs[0]?.tolerance ?? {}
  const drop = accuracy === undefined ? 0 : accuracy.original - accuracy.variant
  // What a variant that passed fell short of was outweighed: by labels, or by too few samples to tell.
  const outputs = parity?.passed === false ? parity.outputs : []
  const dropped = outputs.length > 0 && drop > (tolerance.maxAccuracyDrop ?? Number.POSITIVE_INFINITY) + 1e-9
  const text =
    accuracy === undefined ? none : `${formatShare(accuracy.original)} \u2192 ${formatShare(accuracy.variant)}`
  const snrText = db === undefined ? none : Number.isFinite(db) ? formatDb(db) : 'nothing differs'
  return markup`${cell(snrText, missedSnr(outputs), tolerance.minSnrDb === undefined ? undefined : `at least ${tolerance.minSnrDb} dB`)}${cell(
    formatShare(worstOf(parity, 'agreement', Math.min)),
    missedAgreement(outputs),
    tolerance.minAgreement === undefined ? undefined : `at least ${formatShare(tolerance.minAgreement)}`
  )}${top5 && cell(formatShare(worstOf(parity, 'agreementTop5', Math.min)))}${
    labelled &&
    cell(text, dropped, dropped ? `a drop of ${formatShare(tolerance.maxAccuracyDrop)} is allowed` : undefined)
  }${errorCell(parity)}`
}

function errorCell(parity: VariantResult['parity']): Markup {
  const mean = largestError(parity, 'meanAbsError')
  return markup`<td>${formatNumber(largestError(parity, 'maxAbsError'))}${mean !== undefined && markup`<small>${formatNumber(mean)}</small>`}</td>`
}

function cell(text: string, missed = false, asked?: string): Markup {
  if (!missed) return markup`<td>${text}</td>`
  return markup`<td class="missed">${text}\u00A0<span aria-hidden="true">\u2717</span>${asked !== undefined && markup`<small>${asked}</small>`}</td>`
}

function missedSnr(outputs: readonly ParityOutput[]): boolean {
  return outputs.some((output) => {
    const { minSnrDb } = output.tolerance
    return minSnrDb !== undefined && !((snrDbOf(output) ?? Number.NEGATIVE_INFINITY) >= minSnrDb)
  })
}

function missedAgreement(outputs: readonly ParityOutput[]): boolean {
  return outputs.some(({ agreement, tolerance: { minAgreement } }) => {
    return minAgreement !== undefined && typeof agreement === 'number' && agreement < minAgreement
  })
}

function runtimeCell(variant: VariantResult, name: string): Markup {
  const runtime = variant.runtimes.find((each) => each.name === name)
  if (runtime === undefined) return markup`<td>${none}</td>`
  if (!runtime.runnable) return markup`<td>\u2717 cannot</td>`
  return markup`<td>${formatMs(runtime.p50Ms)}</td>`
}
