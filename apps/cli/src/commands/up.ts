import type { Device } from '@skerry/contracts'
import type { Command } from 'commander'
import { Listr, ListrLogger, type ListrTask, ProcessOutput } from 'listr2'
import type { ApiClient } from '../api-client.ts'
import { CliError } from '../cli-error.ts'
import type { CliConfig } from '../config.ts'
import { deviceTable, summary, variantTable } from '../example/report.ts'
import { MEMBERS, WorkedExample } from '../example/worked-example.ts'
import { LocalStack } from '../stack/local-stack.ts'
import { onStop } from '../stop-signals.ts'

type UpFlags = { once?: boolean; json?: boolean; example: boolean }
type Context = { client: ApiClient; example: WorkedExample }

export function upCommand(program: Command, config: CliConfig): void {
  program
    .command('up')
    .description('everything on this machine: stores, control plane, three agents, and the worked example')
    .option('--once', 'stop after the example')
    .option('--json', 'progress on stderr, a summary object as the last line of stdout')
    .option('--no-example', 'start only')
    .action(async (flags: UpFlags) => {
      const stack = new LocalStack(config)
      const stop = new AbortController()
      onStop(async () => {
        stop.abort(new CliError('Stopped'))
        await stack.stop()
      })
      try {
        await run(config, stack, flags, stop.signal)
        if (!flags.once) throw await stack.failed()
      } finally {
        if (!stop.signal.aborted) await stack.stop()
      }
    })
}

async function run(config: CliConfig, stack: LocalStack, flags: UpFlags, signal: AbortSignal): Promise<void> {
  const context = {} as Context
  const out = flags.json ? process.stderr : process.stdout
  const tasks = [...startTasks(config, stack, signal), ...(flags.example ? exampleTasks() : [])]
  const options = {
    ctx: context,
    exitOnError: true,
    registerSignalListeners: false,
    rendererOptions: { logger: logger(out) }
  }
  if (out.isTTY) await new Listr<Context>(tasks, { ...options, renderer: 'default' }).run()
  else await new Listr<Context, 'simple'>(tasks, { ...options, renderer: 'simple' }).run()
  if (flags.example) await report(context, stack, flags, out)
  if (!flags.once)
    out.write(
      `\nServing ${stack.url} (API ${stack.url}/docs, key in ${config.dataDir}/admin.key). Ctrl-C stops everything.\n`
    )
}

const logger = (out: NodeJS.WriteStream) => new ListrLogger({ processOutput: new ProcessOutput(out, out) })

type Task = ListrTask<Context>
type Step = { title: string; output: unknown }

/** A step whose title ends with what came of it, and whose output line moves meanwhile. */
const step = (title: string, work: (context: Context, say: (line: string) => void) => Promise<string>): Task => ({
  title,
  task: async (context: Context, task: Step) => {
    let last = ''
    const result = await work(context, (line) => {
      if (line !== last) task.output = line
      last = line
    })
    task.title = `${title}: ${result}`
  }
})

function startTasks(config: CliConfig, stack: LocalStack, signal: AbortSignal): Task[] {
  return [
    step('Postgres and Valkey', async (_, say) => {
      await stack.startServices(say)
      return 'ready'
    }),
    step('Control plane', async (context) => {
      context.client = await stack.startControlPlane()
      const { python = '' } = config.tools ?? {}
      const { client } = context
      context.example = new WorkedExample({ client, python, dataDir: config.dataDir, signal })
      return stack.url
    }),
    step('Agents', async ({ client }) => {
      const devices = await stack.startAgents(client)
      return devices
        .map((device) => `${device.name} (${device.facts.runtimes.map((r) => r.name).join(', ')})`)
        .join(', ')
    })
  ]
}

function exampleTasks(): Task[] {
  const [wide, narrow] = MEMBERS
  return [
    step(`Build Keras MobileNetV2 ${wide.version}, face or not`, ({ example }, say) => example.build(wide, say)),
    step(`Build Keras MobileNetV2 ${narrow.version}`, ({ example }, say) => example.build(narrow, say)),
    step('Upload', async ({ example }) => `${await example.upload(wide)}; ${await example.upload(narrow)}`),
    step(`Convert and prove ${wide.version}`, ({ example }, say) => example.convert(wide, 'images', say)),
    step(`Convert ${wide.version}, calibrated on noise`, ({ example }, say) => example.convert(wide, 'noise', say)),
    step(`Convert and prove ${narrow.version}`, ({ example }, say) => example.convert(narrow, 'images', say)),
    step('Deploy', ({ example }, say) => example.deploy(say)),
    step('Infer, one device at a time', ({ example }, say) => example.infer(say)),
    step('Infer np.random.random((1, 224, 224, 3))', ({ example }) => example.inferRandom())
  ]
}

async function report(
  { client, example }: Context,
  stack: LocalStack,
  flags: UpFlags,
  out: NodeJS.WriteStream
): Promise<void> {
  const variants = await example.variants(MEMBERS[0])
  const { items: devices } = await client.get<{ items: Device[] }>('/devices?limit=1000')
  out.write(`\n${variantTable(variants)}\n\n${deviceTable(example, variants)}\n`)
  if (flags.json) console.log(JSON.stringify(summary(example, variants, devices, stack.url)))
}
