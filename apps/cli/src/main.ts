import { Command } from './common-js.ts'
import { type CliConfig, readConfig } from './config.ts'

type AddCommand = (program: Command, config: CliConfig) => void

/** An agent stays in memory for years: nothing is loaded that only other commands need. */
async function commandsFor(word: string | undefined): Promise<AddCommand[]> {
  const agent = async () => (await import('./commands/agent.ts')).agentCommand
  if (word === 'agent') return [await agent()]
  const { upCommand } = await import('./commands/up.ts')
  const { convertCommand } = await import('./commands/convert.ts')
  const { joinTokenCommand } = await import('./commands/join-token.ts')
  const { deviceCommands } = await import('./commands/devices.ts')
  const { planCommand } = await import('./commands/plan.ts')
  const { resourceCommands } = await import('./commands/resources.ts')
  return [upCommand, await agent(), convertCommand, joinTokenCommand, deviceCommands, planCommand, resourceCommands]
}

const program = new Command('skerry')
  .description('Deploys TensorFlow models to unlike edge devices and runs jobs on them')
  .version('0.1.0')
  .showHelpAfterError()
  .addHelpText(
    'after',
    '\nEnvironment: SKERRY_URL (default http://127.0.0.1:8080), SKERRY_KEY or SKERRY_DATA_DIR (its admin.key), SKERRY_HTTP_PORT, SKERRY_HTTP_HOST.'
  )

/** By name: their classes would load their packages. */
const PLAIN = ['CliError', 'AgentError', 'ConversionError', 'EmbeddedError']

try {
  const config = readConfig(process.env)
  for (const add of await commandsFor(process.argv[2])) add(program, config)
  await program.parseAsync()
} catch (error) {
  const plain = error instanceof Error && PLAIN.includes(error.name)
  console.error(plain ? error.message : error)
  process.exit(1)
}
