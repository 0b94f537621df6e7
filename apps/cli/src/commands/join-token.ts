import type { JoinToken } from '@skerry/contracts'
import { type Command, Option } from 'commander'
import { apiClientOf } from '../api-client.ts'
import type { CliConfig } from '../config.ts'

type Flags = { capability: string; uses: string; json?: boolean }

export function joinTokenCommand(program: Command, config: CliConfig): void {
  program
    .command('join-token')
    .description('a token with which devices join, and the line to run there; it is shown once')
    .addOption(new Option('--capability <list>').choices(['infer', 'convert', 'infer,convert']).default('infer'))
    .option('--uses <n>', 'how many devices may use it', '1')
    .option('--json')
    .action(async (flags: Flags) => {
      const body = { capabilities: flags.capability.split(','), uses: Number(flags.uses) }
      const token = await apiClientOf(config).post<JoinToken>('/join-tokens', body)
      console.log(flags.json ? JSON.stringify(token) : words(token, config.url))
    })
}

/** The line for another machine names an address that is right there, wherever there is one. */
function words({ token, expiresAt, urls = [] }: JoinToken, calledAt: string): string {
  const url = [calledAt, ...urls].find((each) => !isLoopback(each))
  const note =
    url === undefined
      ? '\nThe control plane listens on this machine alone; SKERRY_HTTP_HOST=0.0.0.0 npm start lets other machines join.'
      : ''
  return `${token}\n\nnpx skerry agent join ${url ?? calledAt} --token ${token}\n(expires ${expiresAt})${note}`
}

const isLoopback = (url: string): boolean => /^(localhost|127\..*|\[::1\])$/.test(new URL(url).hostname)
