import { ConversionError, PREPROCESSING_HELP, RECIPE_HELP } from '@skerry/converter'
import { type Command, InvalidArgumentError, Option } from 'commander'
import { apiClientOf } from '../api-client.ts'
import { CliError } from '../cli-error.ts'
import type { CliConfig } from '../config.ts'
import { convertHere } from '../convert/convert-here.ts'
import { convertThere } from '../convert/convert-there.ts'
import { exitCodeOf, outcomeText, type ShownVariant } from '../convert/outcome.ts'
import { type ConvertFlags, type ConvertPlan, planConversion } from '../convert/plan.ts'
import { ProgressLine } from '../convert/progress-line.ts'
import { onStop } from '../stop-signals.ts'

type Flags = ConvertFlags & {
  server?: boolean
  as?: string
  fresh: boolean
  json?: boolean
  verbose?: boolean
}
type Outcome = { variants: ShownVariant[]; warnings: readonly string[]; more: object }

const collect = (value: string, all: string[] = []): string[] => [...all, value]
const seconds = (text: string): number => {
  const number = Number(text)
  if (!(number > 0)) throw new InvalidArgumentError('a number of seconds')
  return number
}

export function convertCommand(program: Command, config: CliConfig): void {
  program
    .command('convert')
    .description('convert a model to TFLite, and compare every variant with the original')
    .argument('<file>', '.keras, .h5, SavedModel or TensorFlow.js model (folder, zip, tar.gz, model.json), or .tflite')
    .option(
      '--variant <recipe>',
      'may be given several times (default: float32, float16, dynamic_int8, full_int8)',
      collect
    )
    .addOption(
      new Option('--format <format>', 'default: by looking').choices(['keras', 'h5', 'savedmodel', 'tfjs', 'tflite'])
    )
    .option('--calibration <file>', 'for full_int8 and int16x8: .npz with an array per input, or images (zip, folder)')
    .option('--evaluation <file>', 'real data that proves: as --calibration but of other samples; y or folders: labels')
    .option('--preprocessing <how>', 'from an image to the input, where the data are images; see below')
    .option('--labels <file>', "the classes' names, one a line, written into the files")
    .option('--signature <key>', 'which signature of a SavedModel')
    .option('--tolerance <list>', 'minSnrDb=..,minAgreement=..,maxAccuracyDrop=..,maxAbsErrorOfRange=..')
    .option('--out <dir>', 'default: NAME-tflite here')
    .option('--report <file>', 'default: report.html in the folder')
    .option('--time-limit <seconds>', 'default: 1800', seconds)
    .option('--no-propose', 'do not try other recipes for a quantized variant that is rejected')
    .option('--server', `convert on a device of the fleet at ${config.url} (SKERRY_URL) instead of here`)
    .option('--as <model/version>', 'with --server: what to register it as, such as face/3')
    .option('--fresh', 'with --server: even what was converted before', false)
    .option('--verbose', "the converter's own log, on stderr")
    .option('--json', 'progress on stderr, the result as the last line of stdout')
    .addHelpText(
      'after',
      `\nA recipe is ${RECIPE_HELP}.\n\nPreprocessing is ${PREPROCESSING_HELP}.\n\nEnds with 1 when nothing may be used (every variant rejected, failed or inconclusive).`
    )
    .action(async (file: string, flags: Flags) => {
      const stop = new AbortController()
      const running = run(config, file, flags, stop.signal)
      onStop(async () => {
        stop.abort(new ConversionError('conversion-cancelled'))
        // What it had begun is cleared away before the process ends.
        await running.catch(() => undefined)
        process.exitCode = 130
      })
      process.exitCode = await running
    })
}

async function run(config: CliConfig, file: string, flags: Flags, signal: AbortSignal): Promise<number> {
  const plan = await planConversion(file, flags)
  const progress = new ProgressLine(process.stderr, () => performance.now())
  const work = flags.server ? runThere : runHere
  const { variants, warnings, more } = await work(config, plan, flags, progress, signal).finally(() => progress.clear())
  const { outDir, reportPath } = plan
  if (flags.json) console.log(JSON.stringify({ ...more, outDir, report: reportPath, variants, warnings }))
  else console.log(`${outcomeText(variants, warnings, outDir)}, the report is ${reportPath}`)
  return exitCodeOf(variants)
}

async function runHere(
  { tools }: CliConfig,
  plan: ConvertPlan,
  { verbose }: Flags,
  progress: ProgressLine,
  signal: AbortSignal
): Promise<Outcome> {
  if (tools === undefined) throw new CliError('Converting needs the Python environment: npm run setup')
  const onLog = (line: string) => {
    if (!verbose) return
    progress.clear()
    console.error(line)
  }
  const result = await convertHere(plan, { tools, signal, onProgress: (event) => progress.report(event), onLog })
  return { variants: result.variants, warnings: result.warnings, more: { timings: result.timings } }
}

async function runThere(
  config: CliConfig,
  plan: ConvertPlan,
  { as = '', fresh }: Flags,
  progress: ProgressLine,
  signal: AbortSignal
): Promise<Outcome> {
  const [model, version, ...rest] = as.split('/')
  if (!model || !version || rest.length > 0) throw new CliError('--server needs --as MODEL/VERSION, such as face/3')
  const client = apiClientOf(config)
  const onProgress = (event: Parameters<ProgressLine['report']>[0]) => progress.report(event)
  const { job, result, variants } = await convertThere(plan, { model, version, fresh }, { client, signal, onProgress })
  return { variants, warnings: result.warnings, more: { job, known: result.known ?? [] } }
}
