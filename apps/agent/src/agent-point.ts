/**
 * Moments between which a power loss finds another state: on the disk here, or at the control plane. In the order in
 * which a device meets them:
 *
 *     enrolled -> identity-written -> identity-saved
 *     key-next-written -> key-next-saved -> key-taken -> key-written -> key-saved
 *     config-written -> config-saved
 *     library-fetched -> library-written -> library-saved -> library-cleared
 *     fetch-opened -> fetch-piece ... -> fetch-whole -> fetch-synced -> fetch-renamed
 *     verify -> verified -> load -> loaded -> check -> checked -> ready        evict -> evicted
 *     job-assigned -> job-running -> result-written -> result-journaled -> result-sent -> result-acknowledged
 *     latency-sent -> latency-acknowledged
 */
export type AgentPoint =
  | 'enrolled'
  | 'identity-written'
  | 'identity-saved'
  | 'key-next-written'
  | 'key-next-saved'
  | 'key-taken'
  | 'key-written'
  | 'key-saved'
  | 'config-written'
  | 'config-saved'
  | 'library-fetched'
  | 'library-written'
  | 'library-saved'
  | 'library-cleared'
  | 'fetch-opened'
  | 'fetch-piece'
  | 'fetch-whole'
  | 'fetch-synced'
  | 'fetch-renamed'
  | 'verify'
  | 'verified'
  | 'load'
  | 'loaded'
  | 'check'
  | 'checked'
  | 'ready'
  | 'evict'
  | 'evicted'
  | 'job-assigned'
  | 'job-running'
  | 'result-written'
  | 'result-journaled'
  | 'result-sent'
  | 'result-acknowledged'
  | 'latency-sent'
  | 'latency-acknowledged'

/** Told of a point in the same turn in which it is reached; the agent goes on when it returns. */
export type OnPoint = (point: AgentPoint) => void
