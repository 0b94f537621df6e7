import type { ConversionResult, Isolation, NameMap, Preprocessing, TensorDescription } from '../types.ts'
import { formatBytes, formatExact, formatMs, formatNumber, formatShape } from './format.ts'
import { type Markup, markup } from './markup.ts'

/** The original's inputs and outputs, and what they are called in the files. */
export function modelSection({ inputs, outputs, names, signature, preprocessing }: ConversionResult): Markup {
  return markup`<section aria-labelledby="model"><h2 id="model">The model</h2>
${signature !== undefined && markup`<p>Converted from the signature <code>${signature}</code>.</p>`}
<div class="scroll" role="region" aria-labelledby="model" tabindex="0"><table><thead><tr><th scope="col">Side</th><th scope="col">Name in the model</th><th scope="col">Name in the files</th><th scope="col">Type</th><th scope="col">Shape</th></tr></thead>
<tbody>${inputs.map(tensorRow('input', names.inputs))}${outputs.map(tensorRow('output', names.outputs))}</tbody></table></div>
${preprocessing !== undefined && preprocessingList(preprocessing)}</section>`
}

const tensorRow = (side: string, map: NameMap['inputs']) => (tensor: TensorDescription) =>
  markup`<tr><td>${side}</td><th scope="row">${tensor.name}</th><td><code>${(Object.hasOwn(map, tensor.name) ? map[tensor.name] : undefined) ?? tensor.name}</code></td><td>${tensor.datatype}</td><td>${formatShape(tensor.shape)}</td></tr>
`

const fits: Readonly<Record<Preprocessing['fit'], string>> = {
  stretch: 'stretched, whatever its proportions',
  crop: 'proportions kept, the middle cut out',
  pad: 'proportions kept, the rest filled with 0'
}

function preprocessingList(preprocessing: Preprocessing): Markup {
  const { input, kernel, antialias, fit, colors, scale, offset, layout } = preprocessing
  const list = (value: number | readonly number[]) =>
    typeof value === 'number' ? formatExact(value) : `(${value.map(formatExact).join(', ')})`
  return markup`<h3>From an image to the input</h3><dl>${input !== undefined && row('Input', input)}${row('Resize', `${kernel}${antialias === true ? ', antialiased' : ''}; ${fits[fit]}`)}${row('Colours', `${colors}, ${layout}`)}${row('Values', `pixel \u00D7 ${list(scale)} + ${list(offset)}, pixels from 0 to 255`)}</dl>`
}

/** All that is needed to make the same files again, and what kept the converter apart. */
export function reproduceSection(result: ConversionResult): Markup {
  const { source, calibrationSha256, evaluationSha256, versions, converter, reference, isolation, timings } = result
  return markup`<section aria-labelledby="reproduce"><h2 id="reproduce">To make it again</h2><dl>
${row('Source', `${source.format}, ${formatBytes(source.bytes)}`)}${code('Source SHA-256', source.sha256)}${calibrationSha256 !== undefined && code('Calibration data SHA-256', calibrationSha256)}${evaluationSha256 !== undefined && code('Evaluation data SHA-256', evaluationSha256)}
${row('Converter', `${converter.name} ${converter.version}`)}${code('Converter options', JSON.stringify(converter.options))}
${reference !== undefined && row('Reference', referenceText(reference))}
${row('Isolation', isolation === undefined ? 'not recorded' : isolationText(isolation))}</dl>
${table('Versions', 'Package', 'Version', Object.entries(versions).sort(byName))}
${table(
  'Time taken',
  'Step',
  'Time',
  Object.entries(timings).map(([step, ms]) => [step, formatMs(ms)] as const)
)}</section>`
}

function referenceText({ name, version, agreement }: NonNullable<ConversionResult['reference']>): string {
  if (agreement === undefined) return `${name} ${version}; no second engine ran the exported model`
  const { engine, maxAbsError, samples } = agreement
  return `${name} ${version}; ${engine} ${agreement.version} differs from it by ${formatNumber(maxAbsError)} at most over ${samples} samples`
}

function isolationText({ namespaces, network, fileSystem, limits }: Isolation): string {
  const { memoryBytes, fileBytes, cpuSeconds, processes } = limits
  return [
    network ? 'the network was NOT kept away (the system does not allow it)' : 'no network',
    namespaces ? 'no view of other processes' : 'other processes were NOT hidden (the system does not allow it)',
    fileSystem ? 'could write to its work folder only' : 'the file system was NOT kept away',
    `at most ${formatBytes(memoryBytes)} of memory, files of ${formatBytes(fileBytes)}, ${cpuSeconds} s of CPU${processes > 0 ? `, ${processes} processes` : ''}`
  ].join('; ')
}

function table(
  title: string,
  left: string,
  right: string,
  rows: readonly (readonly [string, string])[]
): Markup | undefined {
  if (rows.length === 0) return undefined
  return markup`<details><summary>${title}</summary><table><thead><tr><th scope="col">${left}</th><th scope="col">${right}</th></tr></thead><tbody>${rows.map(
    ([name, value]) => markup`<tr><th scope="row">${name}</th><td>${value}</td></tr>`
  )}</tbody></table></details>
`
}

const byName = ([a]: readonly [string, string], [b]: readonly [string, string]) => (a < b ? -1 : 1)
const row = (term: string, value: string) => markup`<div><dt>${term}</dt><dd>${value}</dd></div>`
const code = (term: string, value: string) => markup`<div><dt>${term}</dt><dd><code>${value}</code></dd></div>`
