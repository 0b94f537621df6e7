import type { ParityOutput, VariantResult, VariantTensor } from '../types.ts'
import { outputCharts } from './charts-output.ts'
import { formatBytes, formatDb, formatExact, formatMs, formatNumber, formatShape, formatShare, none } from './format.ts'
import { type Markup, markup } from './markup.ts'
import { bestP50Ms, snrDbOf } from './measures.ts'
import { layersSection, proposalsSection } from './section-breaks.ts'
import { stateBadge, stateMeanings } from './state.ts'

// Of outputs; a detector's dozens would bury what matters, and the JSON report has them all.
const maxPictures = 6

/** Everything that is known of one variant. */
export function variantSection(variant: VariantResult, index: number, all: readonly VariantResult[]): Markup {
  const { pictures = [], layerErrors, proposals, state, reason } = variant
  return markup`<section class="variant state-${state}" aria-labelledby="variant-${index}"><div class="variant-head"><h2 id="variant-${index}">${variant.variant}</h2>${stateBadge(state)}</div>
<p class="why">${stateMeanings[state]}${reason !== undefined && markup` <strong>${reason}</strong>`}</p>
${state === 'rejected' && readyInstead(all)}
${proposals !== undefined && proposalsSection(proposals)}
${layerErrors !== undefined && layersSection(layerErrors)}
${outputsTable(variant)}
${pictures.length > 0 && markup`<div class="figures">${pictures.slice(0, maxPictures).map(outputCharts)}</div>`}
${pictures.length > maxPictures && markup`<p class="note">The first ${maxPictures} of ${pictures.length} outputs are shown; the JSON report has all.</p>`}
${runtimesTable(variant)}
${details('Operators and their versions', operatorList(variant))}
${details('Inputs and outputs of the file', tensorsTable(variant))}
${details('How it was made', making(variant))}
</section>`
}

function readyInstead(all: readonly VariantResult[]): Markup | undefined {
  const ready = all.filter(({ state }) => state === 'ready')
  if (ready.length === 0) return undefined
  const words = ready.map((variant) => {
    const ms = bestP50Ms(variant)
    const facts = [formatBytes(variant.bytes), ...(ms === undefined ? [] : [formatMs(ms)])].join(', ')
    return `${variant.variant} (${facts})`
  })
  return markup`<p>Ready instead: ${words.join('; ')}.</p>`
}

function details(title: string, content: Markup | undefined): Markup | undefined {
  return (
    content &&
    markup`<details><summary>${title}</summary>${content}</details>
`
  )
}

function outputsTable({ parity }: VariantResult): Markup | undefined {
  if (parity === undefined) return undefined
  const kind = parity.data === 'uploaded' ? 'uploaded' : 'generated'
  return markup`<h3>Against the original</h3>
<p>${parity.samples} ${kind} samples, answered by ${parity.reference}.</p>
<div class="scroll" role="region" aria-label="Measures per output" tabindex="0"><table class="numbers"><thead><tr><th scope="col">Output</th><th scope="col">SNR</th><th scope="col">Agreement</th><th scope="col">Largest error</th><th scope="col">Mean error</th><th scope="col">Asked</th><th scope="col">Kept</th></tr></thead>
<tbody>${parity.outputs.map(outputRow)}</tbody></table></div>`
}

function outputRow(output: ParityOutput): Markup {
  const db = snrDbOf(output)
  const snr = db === undefined ? none : Number.isFinite(db) ? formatDb(db) : 'nothing differs'
  return markup`<tr><th scope="row">${output.name}</th><td>${snr}</td><td>${formatShare(output.agreement)}</td><td>${formatNumber(output.maxAbsError)}</td><td>${formatNumber(output.meanAbsError)}</td><td class="words">${asked(output)}</td><td>${output.passed ? 'yes \u2713' : 'no \u2717'}</td></tr>
`
}

function asked({ tolerance }: ParityOutput): string {
  const { minSnrDb, minAgreement, maxAbsErrorOfRange, maxAccuracyDrop } = tolerance
  const words = [
    ...(minSnrDb === undefined ? [] : [`SNR \u2265 ${minSnrDb} dB`]),
    ...(minAgreement === undefined ? [] : [`agreement \u2265 ${formatShare(minAgreement)}`]),
    ...(maxAbsErrorOfRange === undefined ? [] : [`error \u2264 ${formatNumber(maxAbsErrorOfRange)} of the range`]),
    ...(maxAccuracyDrop === undefined
      ? []
      : [`with labels: accuracy drop \u2264 ${formatShare(maxAccuracyDrop)} decides`])
  ]
  return words.length === 0 ? 'nothing but sane values' : words.join('; ')
}

function runtimesTable({ runtimes }: VariantResult): Markup | undefined {
  if (runtimes.length === 0) return undefined
  return markup`<h3>Runtimes</h3><ul class="runtimes">${runtimes.map(
    ({ name, version, runnable, reason, p50Ms, parity }) => {
      const says = runnable
        ? parity === undefined || parity.passed
          ? 'runs it'
          : 'runs it, and misses'
        : 'cannot run it'
      return markup`<li><span class="mark">${runnable ? '\u2713' : '\u2717'}</span><span><strong>${name} ${version}</strong> ${says}${p50Ms !== undefined && `, ${formatMs(p50Ms)} p50`}${reason !== undefined && `: ${reason}`}</span></li>`
    }
  )}</ul>`
}

function operatorList({ operators = [] }: VariantResult): Markup | undefined {
  if (operators.length === 0) return undefined
  const sorted = [...operators].sort((a, b) => (a.name < b.name ? -1 : a.name > b.name ? 1 : a.version - b.version))
  return markup`<ul class="chips">${sorted.map(
    ({ name, version, custom }) => markup`<li><code>${name}</code> ${custom ? 'custom' : `version ${version}`}</li>`
  )}</ul>`
}

function tensorsTable({ inputs = [], outputs = [] }: VariantResult): Markup | undefined {
  if (inputs.length + outputs.length === 0) return undefined
  const row = (side: string) => (tensor: VariantTensor) =>
    markup`<tr><td>${side}</td><th scope="row">${tensor.name}</th><td>${tensor.datatype}</td><td>${formatShape(tensor.shape)}</td><td>${realValue(
      tensor
    )}</td></tr>`
  return markup`<div class="scroll" role="region" aria-label="Inputs and outputs of the file" tabindex="0"><table><thead><tr><th scope="col">Side</th><th scope="col">Name</th><th scope="col">Type</th><th scope="col">Shape</th><th scope="col">Real value</th></tr></thead><tbody>${inputs.map(row('input'))}${outputs.map(row('output'))}</tbody></table></div>`
}

function realValue({ quantization }: VariantTensor): string {
  if (quantization === undefined) return none
  const { scale, zeroPoint } = quantization
  if (zeroPoint === 0) return `${formatExact(scale)} \u00D7 stored`
  return `${formatExact(scale)} \u00D7 (stored ${zeroPoint < 0 ? '+' : '\u2212'} ${Math.abs(zeroPoint)})`
}

function making({
  recipe,
  attempts = [],
  converterOptions,
  converterMs,
  converterLog,
  sha256,
  bytes
}: VariantResult): Markup {
  return markup`<dl>${entry('SHA-256', sha256, true)}${entry('Bytes', bytes === undefined ? undefined : `${bytes} (${formatBytes(bytes)})`)}${entry('Converter time', converterMs === undefined ? undefined : formatMs(converterMs))}${entry(
    'Recipe',
    recipe && JSON.stringify(recipe),
    true
  )}${entry('Converter options', converterOptions && JSON.stringify(converterOptions), true)}</dl>
${
  attempts.length > 0 &&
  markup`<h4>Ways that were tried</h4><ol class="attempts">${attempts.map(
    ({ way, outcome, milliseconds, error }) =>
      markup`<li><strong>${way}</strong> ${outcome === 'converted' ? '\u2713 converted' : '\u2717 failed'} in ${formatMs(milliseconds)}${error !== undefined && markup`<pre>${error}</pre>`}</li>`
  )}</ol>`
}
${converterLog !== undefined && converterLog !== '' && markup`<h4>The converter's own words</h4><pre>${converterLog}</pre>`}`
}

function entry(term: string, value: string | undefined, code = false): Markup | undefined {
  if (value === undefined) return undefined
  return markup`<div><dt>${term}</dt><dd>${code ? markup`<code>${value}</code>` : value}</dd></div>`
}
