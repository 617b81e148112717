// muxsocks-client: accepts SOCKS5, carries each request over a multiplexed link.

#include "client/client.hpp"
#include "client/subcommands.hpp"
#include "protocol/program/program_main.hpp"

int main(int argc, char** argv) {
    using namespace muxsocks;
    return program_main(program_role::client, argc, argv,
                        {client::run_subcommand, client::check, client::run});
}
