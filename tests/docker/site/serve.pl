# A web server for containers that have nothing but perl-base: files of /files on port 80, at most
# `rate` bytes a second where the request says so (GET /name?rate=N).
use strict;
use warnings;
use IO::Socket::INET;

$SIG{CHLD} = 'IGNORE';
$SIG{TERM} = sub { exit 0 };
my $listener = IO::Socket::INET->new(LocalPort => 80, Listen => 512, ReuseAddr => 1) or die $!;

sub send_all {
    my ($to, $bytes) = @_;
    for (my $sent = 0; $sent < length $bytes;) {
        my $size = syswrite($to, $bytes, length($bytes) - $sent, $sent);
        exit 1 unless defined $size;
        $sent += $size;
    }
}

while (1) {
    my $client = $listener->accept or next;
    my $child = fork;
    if ($child) { close $client; next }
    my ($name, $rate) = (<$client> // '') =~ m{^GET /([\w-]+)(?:\?rate=(\d+))? };
    while (my $line = <$client>) { last if $line =~ /^\r?$/ }
    open my $file, '<:raw', '/files/' . ($name // '') or do {
        send_all($client, "HTTP/1.0 404 Not Found\r\nContent-Length: 0\r\n\r\n");
        exit 0;
    };
    send_all($client, "HTTP/1.0 200 OK\r\nContent-Length: " . (-s $file) . "\r\n\r\n");
    while (sysread($file, my $block, 16384)) {
        send_all($client, $block);
        select(undef, undef, undef, length($block) / $rate) if $rate;
    }
    exit 0;
}
