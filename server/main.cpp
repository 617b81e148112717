// muxsocks-server: accepts multiplexed links and dials what their streams ask for.

#include "protocol/program/program_main.hpp"
#include "server/server.hpp"
#include "server/subcommands.hpp"

int main(int argc, char** argv) {
    using namespace muxsocks;
    return program_main(program_role::server, argc, argv,
                        {server::run_subcommand, server::check, server::run});
}
