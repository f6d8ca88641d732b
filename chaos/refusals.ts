// How a refused write shows in a log: what a processor answers whose epoch had been overtaken, so that it wrote nothing.
const REFUSED = /another worker(?:, a stop or an import)? took over/

export const isRefusal = (line: string): boolean => REFUSED.test(line)
