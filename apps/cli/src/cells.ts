/** How values stand in tables: `-` for what is not known. */
export const megabytes = (bytes: number | undefined): string =>
  bytes === undefined ? '-' : `${(bytes / 1e6).toFixed(2)} MB`
export const milliseconds = (value: number | undefined): string =>
  value === undefined ? '-' : `${value.toFixed(2)} ms`
export const share = (value: number | null | undefined): string => (typeof value === 'number' ? value.toFixed(3) : '-')
export const decibels = (value: number | null | undefined): string =>
  typeof value === 'number' ? `${value.toFixed(1)} dB` : '-'
