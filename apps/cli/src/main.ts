import { AgentError } from '@skerry/agent'
import { ConversionError } from '@skerry/converter'
import { EmbeddedError } from '@skerry/embedded'
import { Command } from 'commander'
import { CliError } from './cli-error.ts'
import { agentCommand } from './commands/agent.ts'
import { convertCommand } from './commands/convert.ts'
import { deviceCommands } from './commands/devices.ts'
import { joinTokenCommand } from './commands/join-token.ts'
import { resourceCommands } from './commands/resources.ts'
import { upCommand } from './commands/up.ts'
import { readConfig } from './config.ts'

const program = new Command('skerry')
  .description('Deploys TensorFlow models to unlike edge devices and runs jobs on them')
  .version('0.1.0')
  .showHelpAfterError()
  .addHelpText(
    'after',
    '\nEnvironment: SKERRY_URL (default http://127.0.0.1:8080), SKERRY_KEY or SKERRY_DATA_DIR (its admin.key), SKERRY_HTTP_PORT, SKERRY_HTTP_HOST.'
  )

const PLAIN = [CliError, AgentError, ConversionError, EmbeddedError]

try {
  const config = readConfig(process.env)
  upCommand(program, config)
  agentCommand(program, config)
  convertCommand(program, config)
  joinTokenCommand(program, config)
  deviceCommands(program, config)
  resourceCommands(program, config)
  await program.parseAsync()
} catch (error) {
  const plain = PLAIN.some((type) => error instanceof type)
  console.error(plain ? (error as Error).message : error)
  process.exit(1)
}
