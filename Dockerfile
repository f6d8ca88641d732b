# Reconsent in production: Node, the packages that it needs, and the sources as they are (Node strips the types itself;
# nothing is built). `npm run check:image` repeats these steps without Docker and starts the result.
ARG NODE_IMAGE=node:24.21.0-bookworm-slim

FROM ${NODE_IMAGE} AS client
WORKDIR /app
COPY package.json package-lock.json ./
RUN npm ci --ignore-scripts --no-audit --no-fund
COPY prisma.config.ts ./
COPY prisma ./prisma
# `prisma generate` needs no engine; the variable keeps Prisma from downloading one. It must not be set for a command
# that migrates.
RUN PRISMA_SCHEMA_ENGINE_BINARY=/bin/true node node_modules/prisma/build/index.js generate

FROM ${NODE_IMAGE} AS packages
WORKDIR /app
COPY package.json package-lock.json ./
# The simulator's workspace is not in the context: npm leaves it out, with its packages.
# Without `peer` and `optional`, @prisma/client would bring the prisma command line and typescript along.
RUN npm ci --omit=dev --omit=peer --omit=optional --ignore-scripts --no-audit --no-fund
# Removes the query compilers of other databases than PostgreSQL: 50 MB.
RUN find node_modules/@prisma/client/runtime -name 'query_compiler_*' ! -name '*postgresql*' -delete

FROM ${NODE_IMAGE}
LABEL org.opencontainers.image.title="Reconsent" \
      org.opencontainers.image.description="Keeps open-banking consents alive" \
      org.opencontainers.image.licenses="MIT"
ENV NODE_ENV=production
WORKDIR /app
COPY --from=packages /app/node_modules ./node_modules
COPY package.json worker.config.ts ./
COPY prisma/migrations ./prisma/migrations
COPY src ./src
COPY --from=client /app/src/generated ./src/generated
USER node
EXPOSE 3000
# On this signal the program reports unready, takes no new work, finishes or gives back what it has, and exits with 0
# within 25 s: give it a stop grace period of 30 s.
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=30s --timeout=5s --start-period=30s --retries=3 \
  CMD ["node", "-e", "fetch('http://127.0.0.1:' + (process.env.PORT || 3000) + '/livez').then((answer) => process.exit(answer.ok ? 0 : 1), () => process.exit(1))"]
ENTRYPOINT ["node", "src/cli.ts"]
CMD ["start"]
