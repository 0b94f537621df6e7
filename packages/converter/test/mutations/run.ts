/*
 * The mutation table: node test/mutations/run.mjs [--keep DIR] [--example DIR] [--models a,b] [--markdown FILE] [--json FILE]
 *
 * Trains the models (about a minute each, kept in DIR), breaks their variants in every way there is, and compares what
 * the judge says with what is true. --example names the folder that holds the worked example's alpha-0.35 and
 * alpha-1.0, for the models faces-*; --markdown replaces what is between <!-- mutations:begin --> and
 * <!-- mutations:end --> in a file.
 */
import { readFile, writeFile } from 'node:fs/promises'
import path from 'node:path'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'
import { placeSection } from '../../../model-zoo/src/markdown.ts'
import { TrialRuntime } from '../../src/trial.ts'
import { findLiteRt } from '../real-parts.ts'
import { madeModel } from './made-model.ts'
import { figuresOf, mutationTable } from './table.ts'
import { type Row, tryCandidates } from './try-candidates.ts'

const root = fileURLToPath(new URL('../../../..', import.meta.url))

const { values: options } = parseArgs({
  options: {
    keep: { type: 'string', default: path.join(root, '.tools/test-models') },
    example: { type: 'string', default: path.join(root, '.skerry/example') },
    models: { type: 'string', default: 'photographs,pair,faces-0.35,faces-1.0,denoise,noise-strength' },
    markdown: { type: 'string' },
    json: { type: 'string' }
  }
})

const { liteRtLibrary, liteRtVersion } = await findLiteRt()
const runtime = new TrialRuntime('litert', { liteRtLibrary, version: liteRtVersion }, new AbortController().signal)
const rows: Row[] = []
const about = new Map<string, string>()
try {
  for (const name of options.models.split(',')) {
    const [, alpha] = /^faces-(.*)$/.exec(name) ?? []
    const model = await madeModel(name, options.keep, alpha && path.join(options.example, `alpha-${alpha}`))
    about.set(name, model.about)
    rows.push(...(await tryCandidates(model, runtime)))
    process.stderr.write(`${name}: ${model.candidates.length} variants\n`)
  }
} finally {
  await runtime.close()
}

const labelled = rows.filter((row) => row.labelled !== undefined)
const figures = {
  labelled: figuresOf(labelled, 'labelled'),
  labelsHidden: figuresOf(labelled, 'unlabelled'),
  withoutLabels: figuresOf(
    rows.filter((row) => row.labelled === undefined),
    'unlabelled'
  ),
  generated: figuresOf(rows, 'generated')
}
if (options.json !== undefined) await writeFile(options.json, JSON.stringify({ figures, rows }, null, 1))
if (options.markdown === undefined) {
  process.stdout.write(`${mutationTable(rows, about)}\n`)
} else {
  const text = await readFile(options.markdown, 'utf8')
  await writeFile(options.markdown, placeSection(text, 'mutations', `\n${mutationTable(rows, about)}\n`))
}
process.stderr.write(`${JSON.stringify(figures, null, 1)}\n`)
if (figures.labelled.falseAccepts.length + figures.labelled.falseRejects.length > 0) process.exitCode = 1
