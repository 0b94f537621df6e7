import path from 'node:path'
import { type AgentOptions, changeDeviceKey, joinAndRun, openLog } from '@skerry/agent'
import type { Capability, RuntimeName } from '@skerry/contracts'

import { CliError } from '../cli-error.ts'
import { type Command, InvalidArgumentError, Option, pino } from '../common-js.ts'
import type { CliConfig } from '../config.ts'
import { onStop } from '../stop-signals.ts'

type JoinFlags = {
  token?: string
  name?: string
  label: Record<string, string>
  runtime?: 'auto' | RuntimeName
  capability: Capability[]
  slots?: number | 'auto'
  threads?: number
  logLevel?: string
  dataDir?: string
  cacheMb?: number
  oldestArtifact?: string
  local?: number | string
  maxTemperature?: number
  minFreeMb?: number
  minBattery?: number
  json?: boolean
}

const LOG_LEVELS = ['trace', 'debug', 'info', 'warn', 'error']

const label = (text: string, labels: Record<string, string>): Record<string, string> => {
  const cut = text.indexOf('=')
  if (cut < 1) throw new InvalidArgumentError('write it as key=value')
  return { ...labels, [text.slice(0, cut)]: text.slice(cut + 1) }
}

const positive = (text: string): number => {
  const number = Number(text)
  if (!Number.isInteger(number) || number < 1) throw new InvalidArgumentError('a whole number, 1 or more')
  return number
}

const slots = (text: string): number | 'auto' => (text === 'auto' ? 'auto' : positive(text))

/** A port or a path: nobody's socket has a number for its name. */
const portOrPath = (text: string): number | string => (/^\d+$/.test(text) ? Number(text) : text)

const capabilities = (text: string): Capability[] =>
  text.split(',').map((word) => {
    if (word !== 'infer' && word !== 'convert') throw new InvalidArgumentError('infer, convert, or infer,convert')
    return word
  })

export function agentCommand(program: Command, config: CliConfig): void {
  const agent = program.command('agent').description('the daemon on a device')
  agent
    .command('rotate-key')
    .description('give this device a new key in place of its old one, whether its agent runs or not')
    .option('--data-dir <dir>', 'where its identity is (default ~/.skerry/agent)')
    .option('--url <url>', 'the control plane (default: where the device joined)')
    .option('--json')
    .action(async ({ json, ...options }: { dataDir?: string; url?: string; json?: boolean }) => {
      const { deviceId, name } = await changeDeviceKey(options)
      console.log(json ? JSON.stringify({ deviceId, name }) : `Device ${name} has a new key; the old one is void.`)
    })
  agent
    .command('join')
    .description('join this machine to a control plane and serve; later starts need no token')
    .argument('<url>', 'the control plane, for example http://192.0.2.7:8080')
    .option('--token <token>', 'a join token: npx skerry join-token')
    .option('--name <name>', "the device's name")
    .option('--label <key=value>', 'a label, may be given several times', label, {})
    .addOption(new Option('--runtime <name>').choices(['auto', 'litert', 'tfjs-tflite', 'tfjs-tflite-node']))
    .option('--capability <list>', 'infer, convert, or infer,convert', capabilities, ['infer'] as Capability[])
    .option('--slots <n|auto>', 'inferences at a time; auto: what cores and memory bear (default 1)', slots)
    .option('--threads <n>', 'threads of one inference (default 1)', positive)
    .addOption(new Option('--log-level <level>', 'SIGUSR2 turns debug on and off').choices(LOG_LEVELS))
    .option('--data-dir <dir>', 'identity, model cache and journal (default ~/.skerry/agent)')
    .option('--local <port|path>', 'serve programs on this device: a port of loopback, or a Unix socket', portOrPath)
    .option('--max-temperature <celsius>', 'refuse work from here on (default 90)', positive)
    .option('--min-free-mb <n>', 'refuse work below this much free memory (default 67)', positive)
    .option('--min-battery <percent>', 'refuse work below this while the battery discharges (default 15)', positive)
    .option('--cache-mb <n>', 'megabytes that models may take on the disk, deployed and spare (default 2147)', positive)
    .option('--oldest-artifact <date>', 'refuse models that were converted before, whoever signed them')
    .option('--json', 'the ready line as JSON; the log goes to stderr either way')
    .action(async (url: string, flags: JoinFlags) => {
      const logLevel = flags.logLevel ?? config.environment.SKERRY_LOG_LEVEL
      const { logger, recentLog } = openLog(logLevel ?? 'info', pino.destination(2))
      if (flags.capability.includes('convert') && config.tools === undefined)
        throw new CliError('Converting needs the Python environment: npm run setup')
      const options: AgentOptions = {
        url,
        labels: flags.label,
        capabilities: flags.capability,
        // What is not said here, the control plane may set.
        ...(flags.runtime === undefined ? {} : { runtime: flags.runtime }),
        ...(flags.slots === undefined ? {} : { slots: flags.slots }),
        ...(flags.threads === undefined ? {} : { threads: flags.threads }),
        ...(logLevel === undefined ? {} : { logLevel }),
        limits: {
          ...(flags.maxTemperature === undefined ? {} : { maxTemperatureC: flags.maxTemperature }),
          ...(flags.minFreeMb === undefined ? {} : { minFreeMemoryBytes: flags.minFreeMb * 1_000_000 }),
          ...(flags.minBattery === undefined ? {} : { minBatteryPercent: flags.minBattery })
        },
        logger,
        recentLog,
        ...(flags.token === undefined ? {} : { token: flags.token }),
        ...(flags.name === undefined ? {} : { name: flags.name }),
        ...(flags.local === undefined ? {} : { local: flags.local }),
        ...(flags.oldestArtifact === undefined ? {} : { oldestArtifact: flags.oldestArtifact }),
        ...(flags.cacheMb === undefined ? {} : { cacheBytes: flags.cacheMb * 1_000_000 }),
        ...(flags.dataDir === undefined ? {} : { dataDir: path.resolve(flags.dataDir) }),
        ...(config.tools === undefined
          ? {}
          : {
              python: config.tools.python,
              liteRtLibrary: config.tools.liteRtLibrary,
              liteRtVersion: config.tools.liteRtVersion
            })
      }
      const running = await joinAndRun(options)
      onStop(() => running.stop())
      process.on('SIGUSR2', () =>
        logger.warn({ level: running.toggleDebug() }, 'the log level was changed by a signal')
      )
      void running.connected.then(() => {
        const ready = {
          deviceId: running.deviceId,
          name: running.name,
          runtimes: running.runtimes,
          local: running.localAddress
        }
        const runtimes = running.runtimes.map((runtime) => `${runtime.name} ${runtime.version}`).join(', ')
        console.log(
          flags.json ? JSON.stringify(ready) : `Device ${running.name} serves ${url} with ${runtimes}. Ctrl-C stops it.`
        )
      })
      const exit = await running.closed
      if (exit.reason === 'revoked') throw new CliError(exit.message)
    })
}
