import { readFile, rm, writeFile } from 'node:fs/promises'
import path from 'node:path'
import { parseArgs } from 'node:util'
import { ConverterWorker, converterStamp } from '@skerry/converter'
import type { RuntimeName } from '@skerry/runtimes'
import { convertModel } from './convert-model.ts'
import { deviationsOf } from './deviations.ts'
import { keepRecord, readRecord } from './kept-records.ts'
import { placeSection } from './markdown.ts'
import { zooTable } from './table.ts'
import { ZOO_MODELS, zooModel } from './zoo.ts'
import type { ZooContext } from './zoo-model.ts'
import type { ZooRecord } from './zoo-record.ts'

const runtimeNames: readonly RuntimeName[] = ['litert', 'tfjs-tflite']

// Large models take minutes for each variant whose kernels are not fast here.
const timeLimitMs = 60 * 60_000

const help = `Converts the models of the zoo into every variant and writes what came out.

  --model NAME      only this one (repeatable)
  --variant NAME    only this recipe (repeatable)
  --runtime NAME    ${runtimeNames.join(' or ')} (repeatable; default: both)
  --tools DIR       where set-up keeps its tools and paths.json (default .tools)
  --out DIR         results, kept between runs (default TOOLS/model-zoo/results)
  --markdown FILE   puts the table between its <!-- zoo:begin --> and <!-- zoo:end -->
  --json FILE       all results in one file
  --fresh           convert again what an earlier run has converted
  --propose         look for something better where a variant is rejected (takes longer)
  --prepare-only    make and install the models, convert nothing
  --list            names of the models

Exit code 1: something came out otherwise than expected.`

type ToolPaths = { python: string; liteRtLibrary: string; liteRtVersion: string }

async function main(): Promise<number> {
  const { values } = parseArgs({
    options: {
      model: { type: 'string', multiple: true },
      variant: { type: 'string', multiple: true },
      runtime: { type: 'string', multiple: true },
      tools: { type: 'string', default: '.tools' },
      out: { type: 'string' },
      markdown: { type: 'string' },
      json: { type: 'string' },
      fresh: { type: 'boolean', default: false },
      propose: { type: 'boolean', default: false },
      'prepare-only': { type: 'boolean', default: false },
      list: { type: 'boolean', default: false },
      help: { type: 'boolean', short: 'h', default: false }
    }
  })
  if (values.help) return say(help)
  if (values.list) return say(ZOO_MODELS.map(({ name, group, origin }) => `${name}\t${group}\t${origin}`).join('\n'))

  const models = values.model?.map(zooModel) ?? ZOO_MODELS
  const runtimes = values.runtime?.map(runtimeNamed) ?? runtimeNames
  const tools = path.resolve(values.tools)
  const zoo = path.join(tools, 'model-zoo')
  const out = path.resolve(values.out ?? path.join(zoo, 'results'))
  const paths = JSON.parse(await readFile(path.join(tools, 'paths.json'), 'utf8')) as ToolPaths
  const log = (line: string) => process.stderr.write(`${line}\n`)
  const context: ZooContext = {
    python: paths.python,
    cacheDir: path.join(zoo, 'cache'),
    packagesDir: path.join(zoo, 'python'),
    log
  }
  if (values['prepare-only']) {
    for (const model of models) log(`${model.name}: ${(await model.prepare(context)).sourcePath}`)
    return 0
  }

  const stamp = await converterStamp(paths.python, runtimes)
  const { python, liteRtLibrary, liteRtVersion } = paths
  const worker = new ConverterWorker({ python })
  const workDir = path.join(out, `work-${process.pid}`)
  const records: ZooRecord[] = []
  const deviations: string[] = []
  try {
    for (const [index, model] of models.entries()) {
      log(`${model.name} (${index + 1} of ${models.length})`)
      const kept = values.fresh ? undefined : await readRecord(out, model.name)
      try {
        const record = await convertModel(model, context, {
          deps: { python, liteRtLibrary, liteRtVersion, runtimes, worker, timeLimitMs },
          workDir,
          stamp,
          propose: values.propose,
          now: () => performance.now(),
          ...(kept === undefined ? {} : { kept }),
          ...(values.variant === undefined ? {} : { variants: values.variant })
        })
        if (values.variant === undefined) await keepRecord(out, record)
        records.push(record)
        deviations.push(...deviationsOf(model, record))
        log(`${model.name}: ${record.seconds} s: ${statesOf(record)}`)
      } catch (error) {
        // What is wrong with one model, such as its preparation, is told at the end; the others go on.
        log(`${model.name}: ${error instanceof Error ? error.message : String(error)}`)
        deviations.push(`${model.name}: ${error instanceof Error ? (error.stack ?? error.message) : String(error)}`)
      }
    }
  } finally {
    await worker.stop()
    await rm(workDir, { recursive: true, force: true })
  }

  const table = zooTable(records, runtimes)
  if (values.json !== undefined) await writeFile(values.json, `${JSON.stringify({ stamp, records }, null, 2)}\n`)
  if (values.markdown === undefined) say(table)
  else await writeFile(values.markdown, placeSection(await readFile(values.markdown, 'utf8'), 'zoo', table))
  for (const line of deviations) log(`not as expected: ${line}`)
  return deviations.length === 0 ? 0 : 1
}

function statesOf({ rows, refused }: ZooRecord): string {
  return refused === undefined
    ? rows.map(({ variant, state }) => `${variant} ${state}`).join(', ')
    : `refused (${refused.code})`
}

function runtimeNamed(name: string): RuntimeName {
  const found = runtimeNames.find((each) => each === name)
  if (found === undefined) throw new RangeError(`There is no runtime ${name}; there are ${runtimeNames.join(', ')}.`)
  return found
}

function say(text: string): number {
  process.stdout.write(`${text}\n`)
  return 0
}

process.exitCode = await main()
