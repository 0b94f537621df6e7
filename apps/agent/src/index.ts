export type { AgentExit } from './agent.ts'
export { AgentError, type AgentErrorCode, agentErrorCodes } from './agent-error.ts'
export type { AgentOptions } from './config.ts'
export { joinAndRun, type RunningAgent } from './join-and-run.ts'
