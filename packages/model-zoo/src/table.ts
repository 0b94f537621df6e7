import { markdownTable } from './markdown.ts'
import type { OracleRow, ZooRecord, ZooRow } from './zoo-record.ts'

const longestReason = 160

/** Every model and variant, then the authors' own files beside ours. */
export function zooTable(records: readonly ZooRecord[], runtimes: readonly string[]): string {
  const head = [
    'variant',
    'state',
    'bytes',
    'SNR, dB',
    'agreement',
    'accuracy',
    ...runtimes.map((name) => `${name}, ms`),
    'why'
  ]
  const parts = records.map((record) => {
    const { model, group, origin, format, sourceBytes } = record
    const title = `**${model}** (${group}: ${cell(origin)}; ${format}, ${grouped(sourceBytes)} bytes)`
    if (record.refused !== undefined) return `${title}\n\nRefused: ${cell(record.refused.message)}`
    return `${title}\n\n${markdownTable(
      head,
      record.rows.map((row) => cellsOf(row, runtimes))
    )}`
  })
  return [summary(records), ...parts, oracles(records)].filter((part) => part !== '').join('\n\n')
}

function summary(records: readonly ZooRecord[]): string {
  const counts = new Map<string, number>()
  for (const { rows } of records) for (const { state } of rows) counts.set(state, (counts.get(state) ?? 0) + 1)
  const states = [...counts].map(([state, count]) => `${count} ${state}`).join(', ')
  const refused = records.filter((record) => record.refused !== undefined).length
  return `${records.length} models, ${refused} of them refused; variants: ${states}.`
}

function oracles(records: readonly ZooRecord[]): string {
  const lines = records.flatMap(({ model, oracle }) => oracle.map((row) => [model, ...oracleCells(row)]))
  if (lines.length === 0) return ''
  const title =
    "The authors' own .tflite files beside ours, each against the original (of a TensorFlow.js model: its float32 variant) " +
    'on the same samples, by an interpreter that has nothing of Skerry:'
  return `${title}\n\n${markdownTable(['model', 'file', 'bytes', 'output', 'SNR, dB', 'agreement'], lines)}`
}

const oracleCells = ({ file, bytes, output, snrDb, agreement }: OracleRow): string[] => [
  file,
  grouped(bytes),
  output,
  snrDb === null ? 'equal' : snrDb.toFixed(1),
  agreement === null ? '' : agreement.toFixed(3)
]

function cellsOf(row: ZooRow, runtimes: readonly string[]): string[] {
  const { accuracy, snrDb } = row
  return [
    row.variant,
    row.state,
    row.bytes === undefined ? '' : grouped(row.bytes),
    typeof snrDb === 'number' ? snrDb.toFixed(1) : (snrDb ?? ''),
    row.agreement === undefined ? '' : row.agreement.toFixed(3),
    accuracy === undefined ? '' : `${accuracy.original.toFixed(3)} → ${accuracy.variant.toFixed(3)}`,
    ...runtimes.map((name) => latencyOf(row, name)),
    whyOf(row)
  ]
}

function latencyOf({ runtimes }: ZooRow, name: string): string {
  const found = runtimes.find((each) => each.name === name)
  if (found === undefined) return ''
  return found.runnable ? (found.p50Ms?.toPrecision(3) ?? 'runs') : 'cannot run'
}

function whyOf({ reason, state, runtimes }: ZooRow): string {
  const refusals = runtimes.filter(({ runnable }) => !runnable).map((each) => `${each.name}: ${each.reason ?? ''}`)
  const words = [...(reason === undefined ? [] : [reason]), ...(state === 'ready' ? refusals : [])].join(' ')
  return cell(words.length <= longestReason ? words : `${words.slice(0, longestReason - 1)}…`)
}

const cell = (text: string): string => text.replaceAll('|', '\\|').replace(/\s+/g, ' ').trim()
const grouped = (value: number): string => value.toLocaleString('en-US')
